"""Groups: pull requests that are near duplicates of each other, found among the vectors of all."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from actors.scans import vectors
from actors.scans.vectors import Vector

ALIKE = 0.6  # the least similarity at which one is taken for a duplicate of another
_MOST_COMPARED = 200  # of a group, for its score


class Member(msgspec.Struct):
    """One pull request of a group."""

    number: int
    title: str


class Group(msgspec.Struct):
    """Pull requests of which each is like another one; `score` is how alike they are on average, from 0 to 1."""

    members: list[Member]
    score: float


class Embedded(NamedTuple):
    """A pull request with its vector."""

    number: int
    title: str
    vector: Vector


def find(pulls: Sequence[Embedded], *, step: Callable[[int], None] = lambda _done: None) -> list[Group]:
    """Group near duplicates: who is like one of a group belongs to it.

    The same pull requests give the same groups, the most alike first.

    :param pulls: by their numbers.
    :param step: called with the number of pull requests that have been compared.
    """
    leader = list(range(len(pulls)))

    def first_of(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    of_diffs, of_titles = vectors.index(), vectors.title_index()
    for place, pull in enumerate(pulls):
        step(place)
        sketch, known = (pull.vector.title, of_titles) if pull.vector.diff is None else (pull.vector.diff, of_diffs)
        if sketch is None:
            continue
        for other in sorted(known.query(sketch)):
            ours, theirs = first_of(place), first_of(other)
            if ours != theirs and pull.vector.similarity(pulls[other].vector) >= ALIKE:
                leader[max(ours, theirs)] = min(ours, theirs)
        known.insert(place, sketch)
    together: defaultdict[int, list[Embedded]] = defaultdict(list)
    for place, pull in enumerate(pulls):
        together[first_of(place)].append(pull)
    found = [_group(members) for members in together.values() if len(members) > 1]
    return sorted(found, key=lambda group: (-group.score, group.members[0].number))


def _group(members: list[Embedded]) -> Group:
    some = members[:_MOST_COMPARED]
    pairs = [one.vector.similarity(other.vector) for place, one in enumerate(some) for other in some[:place]]
    return Group([Member(pull.number, pull.title) for pull in members], round(sum(pairs) / len(pairs), 3))
