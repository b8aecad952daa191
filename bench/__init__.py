"""Benchmarks: musterd beside its peers and the floor, on one machine, in one run."""
