"""Hypervisors: the contract (``base``), its registry, and one package for each of them."""
