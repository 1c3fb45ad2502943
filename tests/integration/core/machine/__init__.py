"""The machine that Hypothesis drives: the real verbs, in any order, under whatever workers, brokers and callers do to them.

Its steps bear the names of the steps of the protocol's model (tests/model/steps.py), and some more.
"""

from tests.integration.core.machine.installation import clear, clears_itself
from tests.integration.core.machine.machine import STEPS, Machine

__all__ = ["STEPS", "Machine", "clear", "clears_itself"]
