"""Limits of a request: how large a body may be, how deep its JSON, and how many submissions a minute brings."""

import math
import re
import threading
import time
from collections import OrderedDict, deque
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from persistence.errors import RateLimitedError, ValidationError

if TYPE_CHECKING:
    from api.dependencies import Caller

# A submission's body: the largest payload that a shipped tier allows, and room for what goes around it.
BODY_BYTES = 2 * 1024 * 1024
BULK_BYTES = 16 * 1024 * 1024
# What is above this is decoded and checked in a thread: the loop has others to serve in the meantime.
LARGE_BYTES = 128 * 1024

DEEPEST = 64
_WINDOW_SECONDS = 60
# The escape of U+0000 with an even number of backslashes before it; PostgreSQL cannot store the character.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# A string, closed or not; possessive and always matching, so that no text makes it look at a byte twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STEP = {ord("["): 1, ord("]"): -1}
_STRETCH = 64 * 1024
_WHOLE_BYTES = 1024 * 1024
_MOST_ITEMS = 10_000
_ENVELOPE_LEVELS = 2  # a bulk's object, its list and one job of it


def refuse_nul(text: str, *, field: str) -> None:
    """Refuse a text, such as a field of a form, that holds the character U+0000.

    :raises ValidationError: it does.
    """
    if "\0" in text:
        raise ValidationError(f"{field}: the character U+0000 is not allowed", field=field)


def check_json(body: bytes) -> None:
    """Refuse JSON text that nobody could store or read back, before anything is built from it.

    :raises ValidationError: it holds U+0000 or is nested deeper than the limit.
    """
    if b"\\u0000" in body and _NUL.search(body):
        raise ValidationError("the character U+0000 is not allowed")
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_depth(_STRING.sub(b"", body))


def check_keys(body: bytes) -> None:
    """Refuse JSON text that two readers would not understand alike, once it is known to be of the wanted type.

    :raises ValidationError: a key stands twice in one object.
    """
    # Each colon outside a string belongs to a key, and of a key that stands twice a decoder keeps the last one only.
    if _colons(body) != _keys_of(body, level=0):
        raise ValidationError("a key stands twice in one object")


def _colons(body: bytes) -> int:
    return _STRING.sub(b"", body).count(b":")


def _keys_of(body: bytes, *, level: int) -> int:
    """Count the keys of all objects, building what is large piece by piece: lists of nothing take much room."""
    if len(body) <= _WHOLE_BYTES:
        return _keys(msgspec.json.decode(body))
    if level > _ENVELOPE_LEVELS:  # a payload that no shipped tier allows: not looked into
        return _colons(body)
    if body.lstrip()[:1] == b"{":
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        return len(members) + sum(_keys_of(bytes(member), level=level + 1) for member in members.values())
    items = msgspec.json.decode(body, type=list[msgspec.Raw])
    if len(items) > _MOST_ITEMS:  # more than any route takes: its handler says so
        return _colons(body)
    return sum(_keys_of(bytes(item), level=level + 1) for item in items)


def _keys(value: Any) -> int:
    count, left = 0, [value]
    while left:
        item = left.pop()
        if item.__class__ is dict:
            count += len(item)
            left.extend(item.values())
        elif item.__class__ is list:
            left.extend(item)
    return count


def _check_depth(bare: bytes) -> None:
    brackets = bare.translate(_ONE_KIND, _NOT_BRACKETS)
    depth = 2
    for _ in range(depth):  # what is innermost goes first, for that is most of what there is, and this is the fast way
        brackets = brackets.replace(b"[]", b"")
    for start in range(0, len(brackets), _STRETCH):
        levels = list(accumulate(map(_STEP.__getitem__, brackets[start : start + _STRETCH]), initial=depth))
        depth = levels[-1]
        if max(levels) > DEEPEST:
            raise ValidationError(f"the JSON is nested deeper than {DEEPEST} levels", limit=DEEPEST)


class Window:
    """A sliding minute, counted by the second.

    :param seconds: how long one event counts.
    """

    def __init__(self, seconds: int = _WINDOW_SECONDS) -> None:
        self._seconds = seconds
        self._counts: deque[tuple[int, int]] = deque()
        self.total = 0

    def wait_seconds(self, limit: int, *, now: float) -> int:
        """Say how many seconds it takes until one more event fits, 0 if it does now."""
        while self._counts and self._counts[0][0] <= now - self._seconds:
            self.total -= self._counts.popleft()[1]
        if self.total < limit or not self._counts:
            return 0
        return max(1, math.ceil(self._counts[0][0] + self._seconds - now))

    def count(self, *, now: float) -> None:
        """Count one event."""
        second = math.floor(now)
        if self._counts and self._counts[-1][0] == second:
            second, before = self._counts.pop()
            self._counts.append((second, before + 1))
        else:
            self._counts.append((second, 1))
        self.total += 1


class Windows:
    """A sliding minute for each of many keys; only the most recently seen keys are kept.

    :param most: how many keys are kept at once, so that a flood of new ones costs bounded memory.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, limit: int) -> int:
        """Count one event under the key unless the minute is full.

        :returns: 0 when it was counted, or the seconds to wait.
        """
        now = time.monotonic()
        with self._lock:
            window = self._windows.setdefault(key, Window())
            self._windows.move_to_end(key)
            if len(self._windows) > self._most:
                self._windows.popitem(last=False)
            wait = window.wait_seconds(limit, now=now)
            if not wait:
                window.count(now=now)
            return wait

    def count(self, key: str) -> int:
        """Tell how many events the last minute has seen under the key."""
        with self._lock:
            window = self._windows.get(key)
            if window is None:
                return 0
            window.wait_seconds(0, now=time.monotonic())
            return window.total


class SubmitRates:
    """The submissions of each user in the last minute, in this process."""

    def __init__(self) -> None:
        self._windows = Windows()

    def take(self, caller: "Caller") -> None:
        """Count one submission; a bulk or a run is one.

        :raises RateLimitedError: the tier's `submits_per_minute` are used up; `retry_after` says when one is free.
        """
        limit = caller.limits.submits_per_minute
        if wait := self._windows.take(caller.user_id, limit):
            raise RateLimitedError(f"the tier allows {limit} submissions a minute", limit=limit, retry_after=wait)

    def used(self, caller: "Caller") -> int:
        """Tell how many submissions of the last minute count."""
        return self._windows.count(caller.user_id)
