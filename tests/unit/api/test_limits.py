"""Limits: of JSON's depth and characters, and of what one may do in a minute."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits import DEEPEST, Window, Windows, check_json, check_keys
from persistence.errors import ValidationError

# No bracket, quote or backslash, and no surrogate, is left out: it is they that could fool the check.
_ORDINARY = st.characters(exclude_characters="\0", categories=("L", "N", "P", "S", "Z", "Cc"))
TEXTS = st.text(_ORDINARY | st.sampled_from('[]{}"\\'), max_size=20)
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


def depth(value: object) -> int:
    """Count the levels of a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(item) for item in inner), default=0)


@given(value=VALUES, levels=st.integers(0, 2 * DEEPEST), filling=st.integers(0, 100))
def test_depth_is_counted_exactly(value: object, levels: int, filling: int) -> None:
    """JSON is refused if and only if it has more levels than allowed, whatever its strings contain."""
    for level in range(levels):
        value = [value] if level % 2 else {"[": value}
    value = [value, *([[]] * filling)]
    text = json.dumps(value, ensure_ascii=False).encode()
    if depth(value) <= DEEPEST:
        check_json(text)
    else:
        with pytest.raises(ValidationError, match="nested deeper"):
            check_json(text)


@pytest.mark.parametrize(
    "text",
    [b"[" * 2_000_000, b'{"a":' * 400_000, b"[{" * 1_000_000, b"[]" * 1_000_000, b'"\\' * 1_000_000, b'"[\\"' * 500_000],
    ids=["lists", "objects", "both", "leaves", "escapes", "strings"],
)
def test_hostile_text_costs_little(text: bytes) -> None:
    """Two megabytes made to be slow are done with in the time of a few ordinary requests."""
    started = time.process_time()
    with suppress(ValidationError):
        check_json(text)
    assert time.process_time() - started < 2


@given(VALUES)
def test_no_key_is_found_twice_where_none_is(value: object) -> None:
    """Whatever strings contain, they are no keys."""
    check_keys(json.dumps(value, ensure_ascii=False).encode())


@pytest.mark.parametrize("padding", [0, 2_000_000], ids=["small", "large"])
@pytest.mark.parametrize("twice", ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"a":1,"c":[],"a":{"d":1}}}]'])
def test_a_key_that_stands_twice_is_refused(twice: str, padding: int) -> None:
    """In a job or in its payload, of a small body or a large one: the two values of a key are told to nobody."""
    job = f'{{"type":"x","payload":{twice}}}'
    other = json.dumps({"type": "x", "payload": {"a": "x" * padding}})
    check_keys(f'{{"jobs":[{other},{other}]}}'.encode())
    for body in (f'{{"jobs":[{other},{job}]}}', f'{{"jobs":[],"jobs":[{other}]}}', twice):
        with pytest.raises(ValidationError, match="twice"):
            check_keys(body.encode())


@given(st.text(alphabet="\\u0a", max_size=12))
def test_nul_is_found_exactly(text: str) -> None:
    """Text is refused if and only if it decodes to the character, however many backslashes stand around."""
    body = b'"' + text.encode() + b'"'
    try:
        holds = "\0" in json.loads(body)
    except ValueError:
        return
    if holds:
        with pytest.raises(ValidationError, match=r"U\+0000"):
            check_json(body)
    else:
        check_json(body)


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=60), st.integers(1, 10))
def test_no_minute_ever_has_more_than_its_limit(waits: list[float], limit: int) -> None:
    """However events arrive, no minute, give or take the second that is counted by, holds more than the limit."""
    window, now, taken = Window(), 1000.25, []
    for wait in waits:
        now += wait
        if not window.wait_seconds(limit, now=now):
            window.count(now=now)
            taken.append(now)
    for moment in taken:
        assert len([other for other in taken if moment - 59 < other <= moment]) <= limit


def test_the_wait_is_long_enough_and_no_longer() -> None:
    """After the seconds that are told there is room again, and a second before there is none."""
    window = Window()
    for moment in (100.5, 101.5):
        window.count(now=moment)
    wait = window.wait_seconds(2, now=110.0)
    assert wait == 50
    assert window.wait_seconds(2, now=110.0 + wait - 1) > 0
    assert window.wait_seconds(2, now=110.0 + wait) == 0


def test_many_peers_cost_bounded_memory() -> None:
    """A flood of new keys pushes out the oldest ones, and those that come back often stay."""
    windows = Windows(most=3)
    for key in "abcabda":
        windows.take(key, 100)
    assert [windows.count(key) for key in "abcd"] == [3, 2, 0, 1]
