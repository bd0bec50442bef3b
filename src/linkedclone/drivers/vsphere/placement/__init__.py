"""Where clones go."""
