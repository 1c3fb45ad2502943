"""The asker: who asks a document's questions, and what answering them takes."""

from dataclasses import dataclass, field
from typing import TypeAlias

import strawberry

from actors.registry import Registry
from api.dependencies import Caller
from api.graphql.budget import Budget
from api.limits import SubmitRates
from persistence.database import Database
from persistence.ledger import Ledger
from persistence.wakeup import Notifier


@dataclass(frozen=True, slots=True)
class Asker:
    """What resolvers find in `info.context`: the caller, and the same parts of the process that REST's handlers are given.

    :param operation: which of the document's operations is wanted; None if it has but one.
    :param budget: what the document may still read.
    """

    caller: Caller
    database: Database
    ledger: Ledger
    notifier: Notifier
    rates: SubmitRates
    registry: Registry
    operation: str | None = None
    budget: Budget = field(default_factory=Budget)


Info: TypeAlias = strawberry.Info[Asker, None]
