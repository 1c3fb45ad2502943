"""What stands beside a migration's tables: SQL that one kind of database has and the other has not, and who may use them."""

from pathlib import Path

from sqlalchemy import Connection, text

_FOLDER = Path(__file__).parent / "sql"
_ROLES_OF_THE_APPLICATION = """SELECT DISTINCT g.grantee FROM information_schema.role_table_grants g
    WHERE g.table_schema = current_schema() AND g.table_name = 'books' AND g.privilege_type = 'DELETE'
    AND g.grantee NOT IN (current_user, 'PUBLIC')"""


def run(connection: Connection, revision: str) -> None:
    """Execute `sql/REVISION.sql` and then `sql/REVISION_DIALECT.sql`, where there are such files.

    :param connection: to the database that is being migrated.
    :param revision: the migration's number.
    """
    connection = connection.execution_options(no_parameters=True)
    for name in (revision, f"{revision}_{connection.dialect.name}"):
        file = _FOLDER / f"{name}.sql"
        if file.exists():
            for statement in statements(file.read_text()):
                connection.exec_driver_sql(statement)


def let_roles_use(connection: Connection, *tables: str) -> None:
    """Let whoever may write the tables that were there before write new ones.

    A role of the application (`migrate --app-role`) that was given its rights by an earlier version would otherwise be refused by
    every process that uses them.

    :param connection: to the database that is being migrated.
    :param tables: the names of the new ones.
    """
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote_identifier
    for role in connection.execute(text(_ROLES_OF_THE_APPLICATION)).scalars().all():
        names = ", ".join(quote(table) for table in tables)
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {names} TO {quote(role)}"))


def statements(script: str) -> list[str]:
    """Split a script into its statements: each is a paragraph, for the bodies of functions contain semicolons."""
    paragraphs = ("\n".join(_code(paragraph)) for paragraph in script.split("\n\n"))
    return [paragraph for paragraph in paragraphs if paragraph]


def _code(paragraph: str) -> list[str]:
    return [line for line in paragraph.splitlines() if line.strip() and not line.startswith("--")]
