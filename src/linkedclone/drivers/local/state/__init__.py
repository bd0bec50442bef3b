"""The state folder: its layout, its records, and who may use it."""
