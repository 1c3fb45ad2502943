"""Rewriting: the product's statements are changed on their way to the database, so that a guard is missing in what runs."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from persistence import statements

_NAMES = ("run", "later")


def rewrite(change: Callable[[str], str]) -> Callable[[], None]:
    """Put a change between the product and every statement that it runs, now or later.

    A module that takes `run` or `later` in another way than from `persistence.statements` is not met; so whoever takes a
    guard out has to see that it was met.

    :param change: gets the words of a statement and gives those that are executed.
    :returns: undoes it.
    """
    known: dict[str, str] = {}

    def changed(sql: str) -> str:
        after = known.get(sql)
        if after is None:
            after = known[sql] = change(sql)
            known.setdefault(after, after)  # what is put off may pass here a second time
        return after

    undo: list[Callable[[], None]] = []
    for name in _NAMES:
        verb = getattr(statements, name)

        def rewritten(session: Any, sql: str, *, _verb: Callable[..., Any] = verb, **parameters: Any) -> Any:
            return _verb(session, changed(sql), **parameters)

        for module in [module for known_as, module in sys.modules.items() if known_as.partition(".")[0] == "persistence"]:
            if module.__dict__.get(name) is verb:
                setattr(module, name, rewritten)
                undo.append(partial(setattr, module, name, verb))

    def put_back() -> None:
        for step in undo:
            step()

    return put_back
