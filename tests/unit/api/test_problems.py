"""Problems: each error has its status, and says no more than it should."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException

import persistence
from api.problems import STATUSES, InternalError, MethodNotAllowedError, describe, known
from persistence import errors
from persistence.errors import GreenroomError


def tree(root: type[GreenroomError]) -> Iterator[type[GreenroomError]]:
    """Walk the tree of errors."""
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


def test_every_error_is_in_the_table() -> None:
    """Each class of the tree, wherever in persistence it stands, has a code of its own, a sentence and a status."""
    for module in pkgutil.iter_modules(persistence.__path__):
        importlib.import_module(f"persistence.{module.name}")
    classes = [kind for kind in tree(GreenroomError) if not kind.__module__.startswith("tests")]
    assert len(classes) > 15
    codes = [kind.code for kind in classes]
    assert len(set(codes)) == len(codes)
    assert set(codes) == set(STATUSES)
    assert [kind for kind in classes if not (kind.__doc__ or "").strip().endswith(".")] == []


@pytest.mark.parametrize("kind", list(tree(GreenroomError)), ids=lambda kind: kind.__name__)
def test_a_problem_is_whole(kind: type[GreenroomError]) -> None:
    """Every problem has the members of RFC 9457 and its code, and its status twice alike."""
    status, headers, body = describe(kind())
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert body["status"] == status == STATUSES[kind.code]
    assert headers["Content-Type"] == "application/problem+json"
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert ("Retry-After" in headers) == (status in {429, 503})


@pytest.mark.parametrize("kind", [errors.NotFoundError, errors.UnauthenticatedError, InternalError])
def test_some_problems_keep_their_reason(kind: type[GreenroomError]) -> None:
    """What does not exist, who is not known and what went wrong here is said in the same words whatever the reason."""
    assert describe(kind("job 5 of ann", field="id")) == describe(kind())


def test_fields_explain_and_do_not_overrule() -> None:
    """An error's fields are members of its problem, except those that a problem has anyway."""
    _, headers, body = describe(errors.RateLimitedError("slow down", limit=60, retry_after=7, status=200))
    assert (body["limit"], body["status"], body["detail"]) == (60, 429, "slow down")
    assert headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotAuthorizedException(), errors.UnauthenticatedError),
        (HTTPException(status_code=405), MethodNotAllowedError),
        (HTTPException(status_code=418), errors.ValidationError),
        (HTTPException(status_code=502), InternalError),
        (RecursionError(), errors.ValidationError),
        (errors.DatabaseUnavailableError(), errors.DatabaseUnavailableError),
        (ZeroDivisionError("5 / 0"), InternalError),
    ],
)
def test_exceptions_of_libraries_become_ours(error: Exception, kind: type[GreenroomError]) -> None:
    """What Litestar, the database and our own mistakes raise is one of the tree's errors to a caller."""
    assert type(known(error)) is kind


def test_parameters_are_named_and_addresses_are_not() -> None:
    """A bad parameter is told by name, without the address that Litestar's own message repeats with its query."""
    error = ValidationException("Validation failed for GET http://x/?key=gr_1", extra=[{"key": "limit", "message": "too large"}])
    _, _, body = describe(known(error))
    assert (body["field"], body["detail"]) == ("limit", "limit: too large")
