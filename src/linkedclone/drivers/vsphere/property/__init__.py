"""The PropertyCollector: traversals, answers, paths."""
