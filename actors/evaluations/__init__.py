"""The evaluations workload: models are asked scenarios, and their answers are compared."""
