"""What is in the state folder, and how it is found by name."""
