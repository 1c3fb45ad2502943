"""The role of the application on PostgreSQL: exactly what Greenroom's processes need, and no rights over the past."""

from sqlalchemy import Connection, text

from persistence.database import Database
from persistence.errors import GreenroomError
from persistence.models import METADATA
from persistence.settings import DatabaseSettings

_EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"
# What is never deleted or never changed; of the audit trail not even the owner may change a row (migrations/sql).
_LESS = {
    "tenants": "SELECT, INSERT",
    "tiers": "SELECT, INSERT, UPDATE",
    "users": "SELECT, INSERT, UPDATE",
    "transitions": "SELECT, INSERT",
}


class RoleRefusedError(GreenroomError):
    """The role cannot be the application's."""

    code = "ROLE_REFUSED"


def grant(url: str, role: str) -> None:
    """Give a role what the application needs on the migrated tables, and take from it all else that it has on them.

    :param url: SQLAlchemy's URL of the database, with the role that owns the tables.
    :param role: the name of the application's role, which exists already.
    :raises RoleRefusedError: not PostgreSQL, no such role, or a role that no grant could hold back.
    """
    database = Database(DatabaseSettings.model_construct(), url=url)
    try:
        if database.is_sqlite:
            message = "SQLite has no roles: an application role needs PostgreSQL"
            raise RoleRefusedError(message)
        with database.engine.begin() as connection:
            _refuse_powerful(connection, role)
            for statement in _grants(connection, role):
                connection.execute(text(statement))
    finally:
        database.close()


def _refuse_powerful(connection: Connection, role: str) -> None:
    row = connection.execute(
        text(
            """SELECT r.rolsuper, pg_has_role(r.oid, c.relowner, 'MEMBER') FROM pg_roles r, pg_class c
            WHERE r.rolname = :role AND c.oid = CAST('transitions' AS regclass)"""
        ),
        {"role": role},
    ).one_or_none()
    if row is None:
        message = f"there is no role {role}: create it first, as in CREATE ROLE {role} LOGIN PASSWORD '…'"
        raise RoleRefusedError(message)
    if any(row):
        message = f"{role} owns the tables or is a superuser: rights would not hold it back"
        raise RoleRefusedError(message)


def _grants(connection: Connection, role: str) -> list[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    who = quote(role)
    schema = quote(connection.execute(text("SELECT current_schema()")).scalar_one())
    tables = {name: _LESS.get(name, _EVERYTHING) for name in sorted(METADATA.tables)} | {"alembic_version": "SELECT"}
    return [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {who}",
        f"GRANT USAGE ON SCHEMA {schema} TO {who}",
        *(f"GRANT {rights} ON {quote(table)} TO {who}" for table, rights in tables.items()),
        f"GRANT EXECUTE ON FUNCTION prune_transitions(uuid[]) TO {who}",
    ]
