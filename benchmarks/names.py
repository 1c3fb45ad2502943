"""The names of the measured job types, for those who do not perform them."""

NOTHING = "benchmarks.nothing"
CLOCK = "benchmarks.clock"
