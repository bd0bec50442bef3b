"""Guests: customization, commands, consoles, shutdown."""
