"""A database restored on another server: places in the feed of events, made of the old one's transaction numbers, begin anew."""

from sqlalchemy import Connection, text

from persistence.event_feed import LAST_ID

_NEXT = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
_CURSOR = "coalesce((SELECT xid FROM webhook_cursor), 0), coalesce((SELECT transition_id FROM webhook_cursor), 0)"
_NOT_TOLD = f"(t.xid, t.id) > ({_CURSOR})"


def is_foreign(connection: Connection) -> bool:
    """Tell whether places of the feed were written on a server that had counted further than this one has.

    What would be written now would stand before them, and webhooks would hear nothing until this one has counted as far.
    """
    if connection.dialect.name == "sqlite" or not connection.dialect.has_table(connection, "webhook_cursor"):
        return False
    furthest = "greatest((SELECT max(xid) FROM transitions), (SELECT xid FROM webhook_cursor))"
    return bool(connection.execute(text(f"SELECT coalesce({furthest} >= {_NEXT}, false)")).scalar())


def begin_anew(connection: Connection) -> None:
    """Put all places before those that this server will give: what webhooks were told at 0, and what they were not at 1.

    As the tables' owner, while nothing else works on them. In doubt an endpoint is told something a second time.
    """
    for statement in (
        f"""UPDATE webhook_endpoints e SET since_xid = 1, since_id = coalesce((SELECT min(t.id) - 1 FROM transitions t
            WHERE (t.xid, t.id) > (e.since_xid, e.since_id) AND {_NOT_TOLD}), {LAST_ID})""",
        "ALTER TABLE transitions DISABLE TRIGGER transitions_are_not_changed",
        f"UPDATE transitions t SET xid = CASE WHEN {_NOT_TOLD} THEN 1 ELSE 0 END",
        "ALTER TABLE transitions ENABLE TRIGGER transitions_are_not_changed",
        f"UPDATE webhook_cursor SET xid = 0, transition_id = {LAST_ID}",
    ):
        connection.execute(text(statement))
