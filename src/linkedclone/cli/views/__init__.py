"""Tables and trees for terminals."""
