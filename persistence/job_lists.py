"""Job lists: which jobs a page shows, newest first, each filter answered from an index."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from persistence.pages import bytes_of, fitting
from persistence.statements import run
from persistence.states import Status


@dataclass(frozen=True, slots=True)
class Filters:
    """What the jobs of a list have in common; None stands for anything."""

    status: Status | None = None
    type: str | None = None
    tag: str | None = None
    run: str | None = None


def ids(session: Session, *, user_id: str | None, filters: Filters, before: str | None, limit: int) -> tuple[list[str], bool]:
    """List the ids of a page of jobs, newest first; a page of large jobs ends before its limit.

    :param user_id: whose jobs; None for everybody's.
    :param before: the last id of the page before.
    :returns: the ids and whether there are more.
    """
    parameters: dict[str, Any] = {"limit": limit + 1}
    if before is not None:
        parameters["before"] = before
    for name in ("status", "type", "tag", "run"):
        if (value := getattr(filters, name)) is not None:
            parameters[name] = str(value)
    if user_id is not None:
        parameters["user"] = user_id
    if filters.run is not None:
        source = _of_run(filters, before, is_owned=user_id is not None)
    elif user_id is not None:
        source = _of_user(filters, before, owner=":user")
    elif filters == Filters():
        source = f"SELECT id FROM jobs {'WHERE id < :before' if before else ''} ORDER BY id DESC LIMIT :limit"
    else:
        # No index leads with a status or a tag alone: each user's newest are looked up and the newest of those kept.
        source = _of_everybody(session, _of_user(filters, before, owner="u.id"))
    rows = run(
        session,
        f"""SELECT j.id, {bytes_of(session, "j.payload", "j.result", "j.error")} AS size FROM jobs j
        JOIN ({source}) page ON page.id = j.id ORDER BY j.id DESC""",
        **parameters,
    ).all()
    return fitting(rows, limit)


def _of_user(filters: Filters, before: str | None, *, owner: str) -> str:
    earlier = "AND {}.{} < :before" if before else ""
    end = "ORDER BY {} DESC LIMIT :limit"
    more = " ".join(f"AND k.{column} = :{column}" for column in ("status", "type") if getattr(filters, column) is not None)
    if filters.tag is not None:
        return f"""SELECT t.job_id AS id FROM tags t JOIN jobs k ON k.id = t.job_id
        WHERE t.user_id = {owner} AND t.tag = :tag {earlier.format("t", "job_id")} {more} {end.format("t.job_id")}"""
    if filters.type is not None or filters.status is not None:
        return f"SELECT k.id FROM jobs k WHERE k.user_id = {owner} {more} {earlier.format('k', 'id')} {end.format('k.id')}"
    # The index has the status before the id, so each status gives its newest.
    parts = " UNION ALL ".join(
        f"""SELECT id FROM (SELECT k.id FROM jobs k WHERE k.user_id = {owner} AND k.status = '{status}'
        {earlier.format("k", "id")} {end.format("k.id")}) AS of_{status}"""
        for status in Status
    )
    return f"SELECT id FROM ({parts}) AS newest {end.format('id')}"


def _of_run(filters: Filters, before: str | None, *, is_owned: bool) -> str:
    conditions = ["k.run_id = :run AND k.run_id IS NOT NULL"]
    conditions += [f"k.{column} = :{column}" for column in ("status", "type") if getattr(filters, column) is not None]
    if is_owned:
        conditions.append("k.user_id = :user")
    if before is not None:
        conditions.append("k.id < :before")
    if filters.tag is not None:
        conditions.append("EXISTS (SELECT 1 FROM tags t WHERE t.user_id = k.user_id AND t.tag = :tag AND t.job_id = k.id)")
    return f"SELECT k.id FROM jobs k WHERE {' AND '.join(conditions)} ORDER BY k.id DESC LIMIT :limit"


def _of_everybody(session: Session, of_user: str) -> str:
    if session.get_bind().dialect.name == "sqlite":
        joined = f"users u CROSS JOIN jobs n WHERE n.id IN ({of_user})"
    else:
        joined = f"users u CROSS JOIN LATERAL ({of_user}) n"
    return f"SELECT n.id FROM {joined} ORDER BY n.id DESC LIMIT :limit"
