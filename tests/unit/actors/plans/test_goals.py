"""Goals and tasks: how the rules take a goal apart, and what they promise about any goal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.plans.goals import MOST_OF_A_GOAL, tasks_of
from actors.plans.jobs import PlannedTasks, create_tasks

PIECES = [
    "write",
    "the page",
    "and",
    "then",
    ",",
    ";",
    ".",
    "after",
    "before",
    "- ",
    "\n",
    "Deploy",
    "fix",
    "1. ",
    "x",
    "ü",
    "once",
]
GOALS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=9)), max_size=60).map(" ".join)
GOALS = GOALS.filter(lambda text: text.strip() != "")


@pytest.mark.parametrize(
    ("goal", "titles"),
    [
        ("Write the page and publish it", ["Write the page", "Publish it"]),
        ("First write the page, then publish it.", ["Write the page", "Publish it"]),
        ("After writing the page, publish it", ["Writing the page", "Publish it"]),
        ("Test it before the release", ["Test it", "The release"]),
        ("Release:\n- write the notes\n- tell everybody and wait", ["Write the notes", "Tell everybody and wait"]),
        ("1. plan; 2. do it", ["Plan", "Do it"]),
        ("Buy bread and butter", ["Settle budget, date and who decides: Buy bread and butter", "Buy bread and butter"]),
        ("Faster checkout", ["Say what has to be true when it is done: Faster checkout", "Faster checkout"]),
        ("Reduce the build's time", ["Measure how it stands today and set the figure to reach: Reduce the build's time"]),
    ],
)
def test_goals_are_taken_apart(goal: str, titles: list[str]) -> None:
    """Lists, sequences and conditions are tasks in their order; a goal of one part has the steps of its kind."""
    found = [task.title for task in tasks_of([goal])]
    assert found[: len(titles)] == titles


@given(goals=st.lists(GOALS, min_size=1, max_size=5))
def test_any_goals(goals: list[str]) -> None:
    """Every goal has tasks, within limits; numbers go on, each task follows earlier ones only, and it is always the same."""
    tasks = tasks_of(goals)
    assert tasks == tasks_of(goals)
    assert [task.number for task in tasks] == list(range(1, len(tasks) + 1))
    assert {task.goal for task in tasks} == set(range(1, len(goals) + 1))
    for task in tasks:
        assert 0 < len(task.title) <= 200
        assert task.title.strip()
        assert all(before < task.number and tasks[before - 1].goal == task.goal for before in task.after)
    assert max(sum(task.goal == number for task in tasks) for number in range(1, len(goals) + 1)) <= MOST_OF_A_GOAL
    create_tasks.job_type.result.decode(create_tasks.job_type.result.encode(PlannedTasks(tasks=tasks, by="rules")))
