"""Scans: the pull requests of a repository are read, turned into vectors and grouped where they say the same."""
