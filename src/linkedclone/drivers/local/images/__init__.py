"""Images of the state folder: imported, built, exported."""
