"""Answers: a document is executed, and its errors say what REST's problems say."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.utils.str_converters import to_camel_case

from api.graphql.asker import Asker
from api.graphql.schema import SCHEMA
from api.problems import describe, known
from persistence.errors import GreenroomError, ValidationError

log = structlog.get_logger(__name__)

_MOST_ERRORS = 10
# A sentence of the parser quotes what it did not understand.
_LONGEST_MESSAGE = 500
_NOT_OURS = ("type", "title", "detail")


class Answer(msgspec.Struct):
    """What becomes of a document.

    :param data: None where nothing was executed.
    :param status: HTTP's; 200 once something was executed, unless the database or we are to blame.
    """

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    was_executed: bool
    status: int = 200
    headers: dict[str, str] = {}


def answer(asker: Asker, query: str, variables: dict[str, Any] | None) -> Answer:
    """Execute a document."""
    try:
        result = SCHEMA.execute_sync(query, variables, context_value=asker, operation_name=asker.operation)
    except (CannotGetOperationTypeError, InvalidOperationTypeError):
        message = "operationName: needs to name a query or mutation of the document, and may be left out if there is but one"
        raise ValidationError(message, field="operationName") from None
    errors = result.errors or []
    was_executed = result.data is not None or any(error.path for error in errors)
    # What was executed has an error for each null; of a document that is no good, the first ones will do.
    found = Answer(result.data, [_show(error) for error in (errors if was_executed else errors[:_MOST_ERRORS])], was_executed)
    # What a client has to know that only looks at the status.
    if worst := _worst(errors):
        found.status, headers, _ = describe(worst)
        found.headers = {name: value for name, value in headers.items() if name == "Retry-After"}
    elif not was_executed:
        found.status = int(HTTPStatus.BAD_REQUEST)
    return found


def _worst(errors: Sequence[GraphQLError]) -> GreenroomError | None:
    for error in errors:
        meant = _meant(error)
        if describe(meant)[0] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return meant
    return None


def _show(error: GraphQLError) -> dict[str, Any]:
    meant = _meant(error)
    status, _, body = describe(meant)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log(error, meant, status)
    shown: dict[str, Any] = {"message": body["detail"][:_LONGEST_MESSAGE]}
    if error.locations:
        shown["locations"] = [{"line": place.line, "column": place.column} for place in error.locations[:_MOST_ERRORS]]
    if error.path:
        shown["path"] = error.path
    shown["extensions"] = {to_camel_case(name): value for name, value in body.items() if name not in _NOT_OURS}
    return shown


def _meant(error: GraphQLError) -> GreenroomError:
    """Find the error that says what went wrong; what GraphQL says by itself is about the document."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return ValidationError(error.message) if cause is None or isinstance(cause, GraphQLError) else known(cause)


def _log(error: GraphQLError, meant: GreenroomError, status: int) -> None:
    cause = error.original_error or error
    what = {"code": meant.code, "path": error.path}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("graphql.unavailable", **what, error=type(cause.__cause__ or cause).__name__)
    else:
        log.error("graphql.failed", **what, exc_info=cause)
