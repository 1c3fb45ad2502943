"""The SQL that stands beside a migration, for what one kind of database has and the other has not."""

from pathlib import Path

from sqlalchemy import Connection

_FOLDER = Path(__file__).parent / "sql"


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


def statements(script: str) -> list[str]:
    """Split a script into its statements: each is a paragraph, for the bodies of functions contain semicolons."""
    paragraphs = ("\n".join(_code(paragraph)) for paragraph in script.split("\n\n"))
    return [paragraph for paragraph in paragraphs if paragraph]


def _code(paragraph: str) -> list[str]:
    return [line for line in paragraph.splitlines() if line.strip() and not line.startswith("--")]
