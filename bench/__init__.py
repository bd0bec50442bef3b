"""Benchmarks beside peers, in the same run: ``script/bench``. No test depends on a time."""
