"""Pools: looked at, planned, carried out."""
