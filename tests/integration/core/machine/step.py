"""A step of the machine: what may happen, how likely it is, and when it can.

Hypothesis would leave about half of a machine's rules out of each example. That is good for finding what a few rules do, and
bad where nothing happens at all without the four or five that make up a job's life. So there is one rule, which draws a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import strategies as st

Function = TypeVar("Function", bound=Callable[..., None])

# One in eight; it shrinks to "no".
rarely = st.integers(0, 7).map(lambda number: number == 7)


@dataclass(slots=True)
class Step:
    """What is drawn for a step, and when it can be taken."""

    name: str
    weight: int
    arguments: Mapping[str, st.SearchStrategy[Any]]
    conditions: list[Callable[[Any], Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return self.name

    def is_possible(self, machine: Any) -> bool:
        """Tell whether the step can be taken now."""
        return all(condition(machine) for condition in self.conditions)


def step(weight: int = 1, **arguments: st.SearchStrategy[Any]) -> Callable[[Function], Function]:
    """Make a method a step of the machine."""

    def marked(function: Function) -> Function:
        function.step = Step(function.__name__, weight, arguments)
        return function

    return marked


def when(condition: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Let a step be taken only when something holds."""

    def marked(function: Function) -> Function:
        function.step.conditions.append(condition)
        return function

    return marked


def steps_of(machine: type) -> dict[str, Step]:
    """List a machine's steps by name."""
    functions = (getattr(machine, name) for name in dir(machine))
    return {found.name: found for function in functions if (found := getattr(function, "step", None)) is not None}
