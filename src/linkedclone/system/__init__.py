"""What touches the operating system and nothing else: files, locks, shared looks."""
