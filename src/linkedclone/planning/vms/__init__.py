"""What is planned for existing VMs, and what is refused."""
