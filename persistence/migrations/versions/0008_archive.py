"""The archive: since when a finished job is passed by where jobs are counted."""

import sqlalchemy as sa
from alembic import op

from persistence import columns

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change.

    The column has no default, so no row is written. The indexes are built in the migration's transaction and not
    concurrently, which could leave half of one behind: a million jobs take some seconds in which nothing is written to them.
    A version before this one finds what it deletes by `ix_jobs_expiring`, whose condition its statement has word by word.
    """
    if op.get_bind().dialect.name == "sqlite":
        # SQLite's own way writes the table's definition and no row; Alembic's would copy the table.
        op.execute("ALTER TABLE jobs ADD COLUMN archived_at DATETIME")
    else:
        op.add_column("jobs", sa.Column("archived_at", columns.Instant(), nullable=True))
    op.drop_index("ix_jobs_finished", "jobs")
    _index("ix_jobs_fresh", "finished_at IS NOT NULL AND archived_at IS NULL")
    _index("ix_jobs_expiring", "finished_at IS NOT NULL AND run_id IS NULL")
    op.create_index(op.f("ix_tags_job_id"), "tags", ["job_id"], unique=False)  # for the end of a job, which takes its tags along


def _index(name: str, where: str) -> None:
    parts: list[sa.ColumnElement[object]] = [sa.literal_column("finished_at")]
    op.create_index(name, "jobs", parts, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
