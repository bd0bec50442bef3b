"""The main job: clones, from the request to the report."""
