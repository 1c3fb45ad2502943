"""The ladder by which a real service is found for the tests: each rung is a context manager that gives a server's URL.

GREENROOM_TEST_RUNG names the only rung that may hold: CI says `contained`, and proves by it that the suites ran on
containers.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

RUNG_VARIABLE = "GREENROOM_TEST_RUNG"
GIVEN, CONTAINED, PRIVATE = "given", "contained", "private"

Rung = Callable[[], AbstractContextManager[str]]


class UnavailableError(Exception):
    """This rung does not hold; the message says why."""


def ladder(variable: str, *, contained: Rung, private: Rung) -> AbstractContextManager[tuple[str, str]]:
    """Give the first server of a kind that is to be had: the name of its rung, and its URL.

    :param variable: where the environment may name one.

    Raises:
        UnavailableError: no rung holds; the message has each one's reason.
    """
    return first({GIVEN: partial(given, variable), CONTAINED: contained, PRIVATE: private})


@contextmanager
def first(rungs: Mapping[str, Rung]) -> Iterator[tuple[str, str]]:
    """Give the first server that is to be had: the name of its rung, and its URL.

    Raises:
        UnavailableError: no rung holds; the message has each one's reason.
    """
    only = os.environ.get(RUNG_VARIABLE)
    reasons = []
    for name, rung in rungs.items():
        if only and name != only:
            reasons.append(f"{name}: {RUNG_VARIABLE} is {only}")
            continue
        with ExitStack() as stack:
            try:
                url = stack.enter_context(rung())
            except UnavailableError as error:
                reasons.append(f"{name}: {error}")
                continue
            yield name, url
            return
    raise UnavailableError("; ".join(reasons))


@contextmanager
def given(variable: str) -> Iterator[str]:
    """Give the server that a variable of the environment names.

    Raises:
        UnavailableError: the environment names none.
    """
    url = os.environ.get(variable)
    if not url:
        raise UnavailableError(f"{variable} is not set")
    yield url
