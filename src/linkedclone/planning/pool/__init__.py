"""What is planned for pools."""
