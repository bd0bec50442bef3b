"""What is planned for clones, and what becomes of each."""
