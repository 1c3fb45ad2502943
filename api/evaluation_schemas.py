"""Evaluation schemas: how definitions and the wish for a run of one look in requests and responses."""

from datetime import datetime
from typing import Annotated

import msgspec

from api.run_schemas import Name
from api.wire import Priority
from persistence.evaluations import Definition
from persistence.jobs import DEFAULT_PRIORITY

_MOST_SCENARIOS = 10_000
_MOST_MODELS = 100
_MOST_SEED = 2**53 - 1  # what every reader of JSON takes for the same number

# A model is a tag, too, of the form `model:NAME`.
Model = Annotated[
    str, msgspec.Meta(min_length=1, max_length=94, pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$(?!\n)")
]


class ScenarioIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a model is asked; with `expected` its answer is scored. Without a name its number is shown."""

    prompt: Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S")]
    expected: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    name: Name | None = None


class DefinitionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A definition, which is never changed."""

    name: Name
    scenarios: Annotated[list[ScenarioIn], msgspec.Meta(min_length=1, max_length=_MOST_SCENARIOS)]


class DefinitionItem(msgspec.Struct, kw_only=True):
    """A definition in a list."""

    id: str
    name: str
    scenario_count: int
    created_at: datetime
    user: str


class DefinitionOut(DefinitionItem, kw_only=True):
    """A definition with its scenarios."""

    scenarios: list[ScenarioIn]


class EvaluationIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A run over models and scenarios.

    `sample_percentage` of the scenarios, at least one, are taken: which ones, `sample_seed` decides, always alike.
    `experiment_id` is the caller's own and kept in the run's `config`.
    """

    definition: str
    models: Annotated[list[Model], msgspec.Meta(min_length=1, max_length=_MOST_MODELS)]
    sample_percentage: Annotated[float, msgspec.Meta(gt=0, le=100)] = 100.0
    sample_seed: Annotated[int, msgspec.Meta(ge=-_MOST_SEED, le=_MOST_SEED)] = 0
    priority: Priority = DEFAULT_PRIORITY
    experiment_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


def definition_item(made: Definition) -> DefinitionItem:
    """Show a definition in a list."""
    return DefinitionItem(
        id=made.id, name=made.name, scenario_count=made.scenario_count, created_at=made.created_at, user=made.user_id
    )


def definition_out(made: Definition) -> DefinitionOut:
    """Show a definition."""
    return DefinitionOut(
        **msgspec.structs.asdict(definition_item(made)), scenarios=msgspec.json.decode(made.scenarios, type=list[ScenarioIn])
    )
