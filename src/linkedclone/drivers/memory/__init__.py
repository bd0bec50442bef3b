"""A hypervisor in memory that behaves like vSphere and fails on demand: for tests and trials."""
