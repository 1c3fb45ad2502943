"""Evaluations: scenarios that are defined once, and runs that ask models all of them or some."""

from http import HTTPStatus

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from actors import chat
from actors.registry import Registry
from api.dependencies import Caller
from api.evaluation_schemas import (
    DefinitionIn,
    DefinitionItem,
    DefinitionOut,
    EvaluationIn,
    ScenarioIn,
    definition_item,
    definition_out,
)
from api.limits import BODY_BYTES, SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from api.run_schemas import RunOut, rank, run_out
from api.submissions import MOST_IN_BULK
from api.wire import PREFIX, id_of
from persistence import evaluations, runs
from persistence.admission import Submission, Unit
from persistence.database import Database
from persistence.errors import NotConfiguredError, PayloadTooLargeError, ValidationError
from persistence.evaluations import BASIC, DEEP, PROBE, Definition
from persistence.ledger import Ledger
from persistence.runs import NewRun, OnFailure

_ANALYSES = (BASIC, DEEP)
_SETTING = "GREENROOM_LLM_URL"


@post(
    "/evaluations/definitions",
    sync_to_thread=True,
    status_code=HTTPStatus.CREATED,
    request_max_body_size=BODY_BYTES,
    tags=["evaluations"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def create_definition(
    *,
    data: JSONBody[DefinitionIn],
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
) -> Response[DefinitionOut]:
    """Define scenarios; runs keep a copy of them."""
    rates.take(caller)
    names: set[str] = set()
    for number, scenario in enumerate(data.scenarios):
        if scenario.name in names:
            raise ValidationError(f"scenarios: two of them are called {scenario.name}", field=f"scenarios[{number}].name")
        if scenario.name is not None:
            names.add(scenario.name)
    scenarios = msgspec.json.encode(data.scenarios)
    most = caller.limits.max_payload_bytes
    if len(scenarios) > most:
        message = f"scenarios: {len(scenarios)} bytes, and the tier allows {most}"
        raise PayloadTooLargeError(message, limit=most, field="scenarios")
    with database.write() as session:
        made = evaluations.create(
            session,
            user_id=caller.user_id,
            name=data.name,
            scenarios=scenarios.decode(),
            scenario_count=len(data.scenarios),
        )
    return Response(definition_out(made), headers={"Location": f"{PREFIX}/evaluations/definitions/{made.id}"})


@get("/evaluations/definitions", sync_to_thread=True, tags=["evaluations"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_definitions(
    caller: NamedDependency[Caller], database: NamedDependency[Database], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[DefinitionItem]:
    """List definitions, newest first."""
    before = after(cursor, caller)
    with database.read() as session:
        found = evaluations.listed(session, user_id=caller.sees, before=before, limit=limit + 1)
    return page(found, limit=limit, caller=caller, key=lambda made: made.id, item=definition_item)


@get("/evaluations/definitions/{id:str}", sync_to_thread=True, tags=["evaluations"], responses=specs(HTTPStatus.NOT_FOUND))
def read_definition(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> DefinitionOut:
    """Read a definition with its scenarios."""
    with database.read() as session:
        return definition_out(evaluations.get(session, definition_id=id_of(id), user_id=caller.sees))


@post(
    "/evaluations/runs",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    request_max_body_size=BODY_BYTES,
    tags=["evaluations"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def start_evaluation(
    *,
    data: JSONBody[EvaluationIn],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    ledger: NamedDependency[Ledger],
    database: NamedDependency[Database],
) -> Response[RunOut]:
    """Start a run that asks each model each sampled scenario and then analyses the answers."""
    run = start_run(data, caller=caller, registry=registry, rates=rates, ledger=ledger, database=database)
    return Response(run, headers={"Location": f"{PREFIX}/runs/{run.id}"})


def start_run(
    asked: EvaluationIn, *, caller: Caller, registry: Registry, rates: SubmitRates, ledger: Ledger, database: Database
) -> RunOut:
    """Admit a run with all its probes and analyses in one transaction.

    :param asked: of the right types and within their bounds, as decoding it makes sure.
    :raises NotConfiguredError: no endpoint of models is set.
    :raises NotFoundError: there is no such definition.
    :raises ValidationError: names the field that is wrong.
    :raises PayloadTooLargeError: a scenario is larger than the tier allows.
    :raises RateLimitedError: too many submissions in this minute.
    :raises ConcurrentJobLimitError: the tier has no room for so many jobs.
    """
    rates.take(caller)
    if chat.chat() is None:
        raise NotConfiguredError(f"{_SETTING} is not set: there is no endpoint whose models could be evaluated", setting=_SETTING)
    with database.read() as session:
        definition = evaluations.get(session, definition_id=id_of(asked.definition), user_id=caller.sees)
    unit = _unit(asked, definition, caller=caller, registry=registry)
    assert unit.run is not None  # noqa: S101 - that is what makes it a run's
    ledger.submit(unit)
    with database.read() as session:
        return run_out(*runs.by_tag(session, run_id=unit.run.id, user_id=caller.user_id, key="model"))


def _unit(asked: EvaluationIn, definition: Definition, *, caller: Caller, registry: Registry) -> Unit:
    if len(set(asked.models)) < len(asked.models):
        twice = next(model for model in asked.models if asked.models.count(model) > 1)
        raise ValidationError(f"models: {twice} stands there twice", field="models")
    numbers = evaluations.sampled(definition.scenario_count, percentage=asked.sample_percentage, seed=asked.sample_seed)
    count = len(asked.models) * len(numbers) + len(_ANALYSES)
    if count > MOST_IN_BULK:
        message = (
            f"models: {len(asked.models)} models, {len(numbers)} scenarios each, and the analyses are {count} jobs, "
            f"and a run has {MOST_IN_BULK} at the most; a smaller sample_percentage makes them fewer"
        )
        raise ValidationError(message, field="models", limit=MOST_IN_BULK)
    scenarios = msgspec.json.decode(definition.scenarios, type=list[ScenarioIn])
    config = {
        "definition": {"id": definition.id, "name": definition.name, "scenarios": scenarios},
        "models": asked.models,
        "sample_percentage": asked.sample_percentage,
        "sample_seed": asked.sample_seed,
        "sampled": numbers,
        "experiment_id": asked.experiment_id,
    }
    # Whatever becomes of a probe, the answers of the others are analysed.
    run = NewRun(definition.name, OnFailure.CONTINUE, msgspec.json.encode(config).decode())
    probes = []
    for number in numbers:
        scenario = scenarios[number]
        for model in asked.models:
            payload = {
                "model": model,
                "scenario": number,
                "name": scenario.name or str(number + 1),
                "prompt": scenario.prompt,
                "expected": scenario.expected,
            }
            probes.append(_submission(PROBE, payload, asked, caller=caller, registry=registry, tags=(f"model:{model}",)))
    parents = tuple(probe.id for probe in probes)
    analyses = [
        _submission(kind, {"run": run.id}, asked, caller=caller, registry=registry, depends_on=parents) for kind in _ANALYSES
    ]
    return Unit(caller.user_id, [*probes, *analyses], run=run)


def _submission(
    kind: str,
    payload: dict[str, object],
    asked: EvaluationIn,
    *,
    caller: Caller,
    registry: Registry,
    tags: tuple[str, ...] = (),
    depends_on: tuple[str, ...] = (),
) -> Submission:
    job_type = registry.get(kind)
    text = job_type.validate(payload)
    most = caller.limits.max_payload_bytes
    if (size := len(text.encode())) > most:
        raise PayloadTooLargeError(
            f"definition: a job has {size} bytes, and the tier allows {most}", limit=most, field="definition"
        )
    return Submission(kind, job_type.queue, text, job_type.max_attempts, rank(asked.priority), tags=tags, depends_on=depends_on)


ROUTES = [create_definition, list_definitions, read_definition, start_evaluation]
