"""The endpoint: one address, one document a request, in a POST of JSON and in no other way."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from actors.registry import Registry
from api.dependencies import Caller
from api.limits import SubmitRates
from api.problems import respond, specs
from persistence.database import Database
from persistence.ledger import Ledger
from persistence.wakeup import Notifier

DOCUMENT_BYTES = 128 * 1024


class DocumentIn(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A document with its variables; several at once are not taken."""

    query: Annotated[str, msgspec.Meta(min_length=1)]
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class AnswerOut(msgspec.Struct, omit_defaults=True):
    """What became of it: `data`, and an error for everything in it that is null because of one."""

    data: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    errors: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET


def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer what is not executed with REST's problem, in which a GraphQL client finds its `errors`, too."""
    response = respond(request, error)
    problem: dict[str, Any] = msgspec.json.decode(response.content)
    names = {"code": "code", "status": "status", "limit": "limit", "field": "field", "retry_after": "retryAfter"}
    extensions = {shown: problem[name] for name, shown in names.items() if name in problem}
    response.content = msgspec.json.encode(problem | {"errors": [{"message": problem["detail"], "extensions": extensions}]})
    return response


@post(
    "/graphql",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    request_max_body_size=DOCUMENT_BYTES,
    exception_handlers={Exception: refuse},
    tags=["graphql"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
)
def execute_document(
    *,
    data: JSONBody[DocumentIn],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    ledger: NamedDependency[Ledger],
    notifier: NamedDependency[Notifier],
    rates: NamedDependency[SubmitRates],
    registry: NamedDependency[Registry],
) -> Response[AnswerOut]:
    """Execute a GraphQL query or mutation; an error's `extensions.code` is the code of the problem that REST would give."""
    # Half a second and some megabytes, that only those pay who use it.
    from api.graphql.answers import answer
    from api.graphql.asker import Asker

    asker = Asker(
        caller=caller,
        database=database,
        ledger=ledger,
        notifier=notifier,
        rates=rates,
        registry=registry,
        operation=data.operation_name,
    )
    found = answer(asker, data.query, data.variables)
    out = AnswerOut(found.data if found.was_executed else msgspec.UNSET, found.errors or msgspec.UNSET)
    return Response(out, status_code=found.status, headers=found.headers)


ROUTES = [execute_document]
