"""Frozen data: what is wanted, what is seen, what is to be done, and what happened."""
