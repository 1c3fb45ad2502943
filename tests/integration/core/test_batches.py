"""Batches: whatever a row holds arrives in the database as it was, in every way that rows go in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from persistence import copying
from persistence.batches import Batch, among, many
from persistence.database import Database, is_repeatable
from persistence.ids import new_id
from persistence.settings import DatabaseSettings
from persistence.statements import run
from tests import factories
from tests.integration.core.machine import clear, clears_itself

# All that a text may hold but what no database takes: NUL and lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20) | st.sampled_from(
    [
        "",
        "NULL",
        "null",
        "\\N",
        "\\.",
        "{}",
        '"',
        "\\",
        "a,b",
        "a\tb",
        "a\nb",
        " a ",
        "'; DROP TABLE jobs; --",
        ":name",
        "%s",
        "%%",
    ]
)
rows = st.lists(
    st.tuples(
        texts | st.none(),
        st.integers(-(2**31), 2**31 - 1) | st.none(),
        st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        st.booleans() | st.none(),
    ),
    max_size=6,
)


@clears_itself
@given(rows=rows)
def test_rows_arrive_as_they_are(database: Database, rows: list[tuple[Any, ...]]) -> None:
    """Text, numbers, flags and nothing, in order and number."""
    columns = {"words": "text", "number": "int", "share": "float8", "flag": "boolean"}
    with database.read() as session:
        batch = Batch(session, "b", columns, rows)
        found = run(session, f"SELECT words, number, share, flag FROM {batch.sql}", **batch.parameters).all()
    assert [tuple(row[:3]) for row in found] == [row[:3] for row in rows]
    assert [None if row[3] is None else bool(row[3]) for row in found] == [row[3] for row in rows]


@clears_itself
@given(values=st.lists(texts, max_size=6), one=texts)
def test_a_list_holds_what_it_holds(database: Database, values: list[str], one: str) -> None:
    """A value is found among a list's exactly if it is one of them."""
    with database.read() as session:
        kind = "text" if not database.is_sqlite else ""
        sql = f"SELECT CASE WHEN CAST(:one AS text) {among(session, 'values', kind)} THEN 1 ELSE 0 END"
        assert run(session, sql, one=one, values=many(session, values)).scalar_one() == int(one in values)


@clears_itself
@given(payloads=st.lists(texts, min_size=1, max_size=4), copies=st.booleans())
def test_payloads_and_tags_are_stored_exactly(database: Database, payloads: list[str], copies: bool) -> None:
    """Inserted or copied."""
    with pytest.MonkeyPatch.context() as patch, database.write() as session:
        clear(session)
        patch.setattr(copying, "FEWEST_ROWS", 1 if copies else 1000)
        asked = [factories.submission(payload=text, tags=(text,) if text else ()) for text in payloads]
        ids = factories.submit(session, factories.user(session), *asked)
        stored = [factories.fetch(session, "jobs", job).payload for job in ids]
        tags = sorted(row.tag for row in run(session, "SELECT tag FROM tags"))
    assert stored == payloads
    assert tags == sorted(text for text in payloads if text)


@pytest.mark.postgresql
def test_a_connection_that_is_lost_in_a_copy_is_an_outage(postgres_database: str) -> None:
    """A server that goes away in the middle of a bulk is no fault of the bulk: it is done again."""
    database = Database(DatabaseSettings(), url=postgres_database)
    with pytest.raises(DBAPIError) as caught, database.write() as session:
        pid = run(session, "SELECT pg_backend_pid()").scalar_one()
        with database.write() as other:
            run(other, "SELECT pg_terminate_backend(:pid)", pid=pid)
        copying.copy(session, "tags", ["user_id", "tag", "job_id"], [(new_id(), "a", new_id())], constants={})
    assert is_repeatable(caught.value)
    with pytest.raises(DBAPIError) as caught, database.write() as session:
        copying.copy(session, "type_limits", ["name", "max_held", "held"], [("a", 1, -1)], constants={})
    assert not is_repeatable(caught.value)
    database.close()
