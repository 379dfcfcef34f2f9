"""Several backends side by side: a process for each, the reference, the report."""
