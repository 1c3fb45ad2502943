"""The fault campaign: real processes, real faults, and an oracle that knows nothing of the product."""
