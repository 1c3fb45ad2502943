"""The examples are packages with tests of their own, which run where the packages are installed: see tests/acceptance."""

collect_ignore_glob = ["*/*"]
