"""Endpoints, their file and their passwords."""
