"""Vectors and groups: what is alike is found, what is not is left alone, and it comes out the same each time."""

import random
import subprocess
import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from actors.scans import groups, vectors
from actors.scans.groups import ALIKE, Embedded
from tests.factories_git import lines


def pull(number: int, title: str, diff: str = "") -> Embedded:
    """Embed a pull request, by way of its stored form."""
    return Embedded(number, title, vectors.decode(vectors.embed(title, diff.encode())))


def added(topic: str, count: int = 30) -> str:
    """Write the diff of a new file."""
    text = "".join(f"+{line}\n" for line in lines(topic, count).splitlines())
    return f"diff --git {topic} {topic}\n--- /dev/null\n+++ {topic}\n@@ -0,0 +1,{count} @@\n{text}"


def numbers(found: list[groups.Group]) -> list[list[int]]:
    """List the members of groups by their numbers."""
    return [[member.number for member in group.members] for group in found]


def test_near_duplicates_are_grouped() -> None:
    """The same change under another title, moved by a few lines or with other spaces is one group, with a score below 1."""
    cache = added("cache")
    found = groups.find(
        [
            pull(1, "Add a cache", cache),
            pull(2, "Caching of pages", cache.replace("@@ -0,0 +1,30 @@", "@@ -7,0 +9,30 @@").replace(" has ", "   has\t")),
            pull(3, "Add a cache, too", cache.replace("number 3\n", "number three\n")),
            pull(4, "Add a cache", added("something else")),
            pull(5, "Fix the door", added("door")),
        ]
    )

    assert numbers(found) == [[1, 2, 3]]
    assert ALIKE <= found[0].score < 1


def test_without_a_diff_the_title_decides() -> None:
    """Pull requests whose changes cannot be read are alike by their titles, and never like one with changes."""
    found = groups.find(
        [pull(1, "Bump a to 2"), pull(2, "bump A to 2!"), pull(3, "Bump a to 2", added("a")), pull(4, ""), pull(5, "")]
    )

    assert numbers(found) == [[1, 2]]
    assert found[0].score == 1


def test_a_chain_is_one_group() -> None:
    """Who is like one of a group belongs to it, and the score says that not all are alike."""
    parts = [added("a"), added("b", 8), added("c", 8)]
    found = groups.find([pull(1, "One", parts[0]), pull(2, "One", parts[0] + parts[1]), pull(3, "One", "".join(parts))])

    assert numbers(found) == [[1, 2, 3]]


@given(st.text(max_size=300), st.binary(max_size=2000))
def test_anything_has_a_vector(title: str, diff: bytes) -> None:
    """Whatever a title or a diff holds, it has a vector, the same each time, and is as like itself as can be."""
    stored = vectors.embed(title, diff)
    vector = vectors.decode(stored)

    assert stored == vectors.embed(title, diff)
    assert round(vector.similarity(vector), 6) in {0, 0.7, 1}


def test_vectors_are_the_same_in_every_process() -> None:
    """A vector depends on nothing but what it is made of: what one worker has stored, another one compares."""
    code = "from actors.scans import vectors; print(vectors.embed('Add a cache', b'+one\\n+two\\n').hex())"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {vectors.embed("Add a cache", b"+one\n+two\n").hex() + "\n"}


def test_two_thousand_are_compared_in_time() -> None:
    """Two thousand pull requests, half of them in pairs and a tenth all alike, are grouped well within the time limit."""
    chance = random.Random(7)  # noqa: S311 - the same text each time
    words = [f"word{number}" for number in range(5_000)]

    def change() -> str:
        return "".join(f"+{' '.join(chance.choices(words, k=6))}\n" for _ in range(60))

    same = change()
    pulls = []
    for number in range(1, 2_001):
        if number <= 200:
            diff = same
        elif number <= 1_200 and number % 2 == 0:
            diff = diff + "+one more\n"
        else:
            diff = change()
        pulls.append(pull(number, f"Change {number}", diff))
    began = time.monotonic()

    found = groups.find(pulls)

    assert time.monotonic() - began < 100  # of 300
    assert len(found) == 1 + 500
    assert numbers(found) == numbers(groups.find(pulls))
    assert max(len(group.members) for group in found) == 200
