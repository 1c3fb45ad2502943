"""The whole core as one state machine: the real verbs in any order, with crashes, duplicates and late wake-ups."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from persistence.database import Database
from tests.integration.core.machine import STEPS, Machine
from tests.model.steps import NAMES

# A step costs 20 ms and more, for verify looks at everything after each one.
_STEPS, _EXAMPLES = 60, 12


@pytest.mark.timeout(600)
def test_no_order_of_steps_breaks_an_invariant(database: Database) -> None:
    """Whatever happens in whatever order, every invariant holds after each step, and when faults end all work drains."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Machine(database), settings=settings(stateful_step_count=_STEPS, max_examples=_EXAMPLES)
    )


def test_the_machine_knows_the_steps_of_the_model() -> None:
    """What the model explores with tuples, the machine does with the real verbs, under the same names."""
    assert set(NAMES) - set(STEPS) == set()
