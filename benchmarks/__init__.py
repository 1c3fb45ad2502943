"""Benchmarks: what Greenroom reaches on this machine beside what it is meant to reach; `python -m benchmarks`."""
