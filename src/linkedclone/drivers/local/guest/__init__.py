"""What a guest is told at its first boot, and how it is reached."""
