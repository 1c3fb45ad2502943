"""What handlers are given by name: `database`, `ledger`, `registry`, `caller`, `rates` and so on.

Handlers mark them, as in `caller: NamedDependency[Caller]` (litestar.di), beside `FromPath[str]` and `JSONBody[JobIn]`
(litestar.params): Litestar warns of what it has to infer, and in the tests warnings are errors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler

from persistence.errors import ForbiddenError
from persistence.users import Tier

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling; every verb that touches a tenant's rows is given `user_id` (or None for an admin who sees all).

    :param tier: the tier's name; `limits` are its numbers, less than a second old.
    """

    user_id: str
    user_name: str
    tenant_id: str
    tenant: str
    tier: str
    scope: str
    limits: Tier

    @property
    def is_admin(self) -> bool:
        """Whether the caller is the operator, who sees all tenants."""
        return self.scope == ADMIN

    @property
    def sees(self) -> str | None:
        """The id of the user whose rows the caller may see; None: everybody's."""
        return None if self.is_admin else self.user_id


def admin_only(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard a handler or controller: `guards=[admin_only]`.

    :raises ForbiddenError: the caller's key has no admin scope.
    """
    del handler
    require_admin(connection.user)


def require_admin(caller: Caller) -> None:
    """Let only the operator go on.

    :raises ForbiddenError: the caller's key has no admin scope.
    """
    if not caller.is_admin:
        raise ForbiddenError


def provided(**parts: Any) -> dict[str, Provide]:
    """Name what a process has one of, and the caller of each request, for Litestar to inject.

    :param parts: by the names that handlers use for them.
    """

    def provide_caller(request: Request[Caller, Any, Any]) -> Caller:
        return request.user

    providers = {name: _provider(part) for name, part in parts.items()} | {"caller": provide_caller}
    return {name: Provide(provider, sync_to_thread=False) for name, provider in providers.items()}


def _provider(part: Any) -> Callable[[], Any]:
    def provide() -> Any:
        return part

    return provide
