"""Use cases: everything that the command line and library users call."""
