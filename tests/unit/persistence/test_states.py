"""The state machine is written once: the map, the CHECK constraints, the trail's rules and the page agree."""

import itertools
import re
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint
from sqlmodel import SQLModel

from persistence import soundness, states
from persistence.jobs import Job
from persistence.states import FINAL, STORED_REASONS, TRANSITIONS, Status, WaitingFor
from persistence.transitions import Transition

ROOT = Path(__file__).parents[3]
# The contract's words, written here once more on purpose.
LEGAL = {
    (None, "queued"),
    ("queued", "processing"),
    ("queued", "cancelled"),
    ("processing", "queued"),
    ("processing", "completed"),
    ("processing", "failed"),
    ("processing", "cancelled"),
    ("failed", "queued"),
}


def listed(table: type[SQLModel], name: str) -> set[str]:
    """Read the words that a CHECK constraint allows."""
    (check,) = [
        part
        for part in table.__table__.constraints  # type: ignore[attr-defined]
        if isinstance(part, CheckConstraint) and str(part.name).endswith(name)
    ]
    return set(re.findall(r"'(\w+)'", str(check.sqltext)))


def test_the_steps_are_the_contracts() -> None:
    """The map allows the steps of the contract and no other."""
    allowed = {(before, after) for before, after in itertools.product([None, *Status], Status) if states.is_legal(before, after)}
    assert allowed == LEGAL


def test_final_is_what_no_step_leaves_but_for_a_replay() -> None:
    """Completed and cancelled are for good; of the final ones only failed can be left, by a replay."""
    assert {status for status in Status if not TRANSITIONS[status]} == {Status.COMPLETED, Status.CANCELLED}
    assert {Status.FAILED, Status.COMPLETED, Status.CANCELLED} == FINAL
    assert TRANSITIONS[Status.FAILED] == {Status.QUEUED}


def test_every_status_can_be_reached_and_ended() -> None:
    """From the beginning every status can be reached, and from every one a final one."""
    reached: set[Status | None] = {None}
    for _ in Status:
        reached |= {after for before in reached for after in TRANSITIONS[before]}
    assert reached == {None, *Status}


@pytest.mark.parametrize(
    ("table", "name", "words"),
    [(Job, "status", Status), (Transition, "to_status", Status), (Job, "blocked_by", STORED_REASONS)],
)
def test_the_database_allows_these_words(table: type[SQLModel], name: str, words: list[str]) -> None:
    """The CHECK constraints come from the enumerations."""
    assert listed(table, name) == {str(word) for word in words}


def test_stored_reasons_are_reasons() -> None:
    """What is stored on the row is one of the reasons to wait."""
    assert set(STORED_REASONS) < set(WaitingFor)


def test_verify_judges_by_the_same_map() -> None:
    """The rule for the audit trail is made of the map."""
    said = re.findall(r"\(coalesce\(from_status, ''\) = '(\w*)' AND to_status IN \(([^)]*)\)\)", soundness._legal_steps())
    steps = {(before or None, after) for before, words in said for after in re.findall(r"\w+", words)}
    assert steps == LEGAL


def test_the_page_shows_the_machine() -> None:
    """The reference has the picture as it is drawn from the map."""
    page = (ROOT / "docs" / "reference" / "states.md").read_text()
    assert states.mermaid() in page
    drawn = re.findall(r"^    (\S+) --> (\S+)$", states.mermaid(), re.MULTILINE)
    steps = {(None if before == "[*]" else before, after) for before, after in drawn if after != "[*]"}
    assert steps == LEGAL
    assert {before for before, after in drawn if after == "[*]"} == {str(status) for status in FINAL}
