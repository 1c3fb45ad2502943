"""Runs and schedules."""

import sqlalchemy as sa
from alembic import op

from persistence import columns
from persistence.migrations import beside

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COUNTS = ("queued", "processing", "completed", "failed", "cancelled")
_BLOCKED_BY = "blocked_by IN ('dependency', 'paused', 'retry', 'schedule')"
_NOT_NEGATIVE = " AND ".join(f"{status} >= 0" for status in _COUNTS)


def upgrade() -> None:
    """Apply the change."""
    if op.get_bind().dialect.name == "sqlite":
        _make_jobs_anew()
    else:
        op.add_column("jobs", sa.Column("run_id", columns.Id(), nullable=True))
        op.add_column("jobs", sa.Column("run_group", sa.BigInteger(), nullable=True))
        op.drop_constraint(op.f("ck_jobs_blocked_by"), "jobs")
        op.create_check_constraint(op.f("ck_jobs_blocked_by"), "jobs", _BLOCKED_BY)
    _index("ix_jobs_parked", "jobs", ["run_id"], "status = 'queued' AND blocked_by = 'paused'")
    _index("ix_jobs_run", "jobs", ["run_id", "id"], "run_id IS NOT NULL")
    _index("ix_jobs_run_finished", "jobs", ["run_id", "finished_at"], "run_id IS NOT NULL AND finished_at IS NOT NULL")
    op.create_table(
        "runs",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("on_failure", sa.String(length=20), nullable=False),
        sa.Column("config", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        *_counts(),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("started_at", columns.Instant(), nullable=True),
        sa.Column("paused_at", columns.Instant(), nullable=True),
        sa.Column("finished_at", columns.Instant(), nullable=True),
        sa.Column("cancelled_at", columns.Instant(), nullable=True),
        sa.Column("deleted_at", columns.Instant(), nullable=True),
        sa.CheckConstraint("on_failure IN ('cancel', 'continue', 'fail')", name=op.f("ck_runs_on_failure")),
        sa.CheckConstraint(_NOT_NEGATIVE, name=op.f("ck_runs_counts_not_negative")),
        sa.CheckConstraint(f"total = {' + '.join(_COUNTS)}", name=op.f("ck_runs_counts_add_up")),
        sa.CheckConstraint("(finished_at IS NULL) = (queued + processing > 0)", name=op.f("ck_runs_finished_when_over")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_runs_user", "runs", ["user_id", "id"], unique=False)
    _index("ix_runs_held_back", "runs", ["id"], "paused_at IS NOT NULL AND finished_at IS NULL AND cancelled_at IS NULL")
    _index("ix_runs_unsettled", "runs", ["id"], "cancelled_at IS NOT NULL AND finished_at IS NULL")
    _index("ix_runs_over", "runs", ["finished_at"], "finished_at IS NOT NULL")
    _index("ix_runs_deleted", "runs", ["id"], "deleted_at IS NOT NULL")
    op.create_table(
        "run_groups",
        sa.Column("run_id", columns.Id(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        *_counts(),
        sa.CheckConstraint(_NOT_NEGATIVE, name=op.f("ck_run_groups_counts_not_negative")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_groups_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_groups")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "schedules",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("cron", sa.String(length=200), nullable=False),
        sa.Column("timezone", sa.String(length=100), nullable=False),
        sa.Column("missed_policy", sa.String(length=20), nullable=False),
        sa.Column("next_at", columns.Instant(), nullable=False),
        sa.Column("due_at", columns.Instant(), nullable=False),
        sa.Column("last_at", columns.Instant(), nullable=True),
        sa.Column("last_job_id", columns.Id(), nullable=True),
        sa.Column("fired", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("paused_at", columns.Instant(), nullable=True),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.CheckConstraint("missed_policy IN ('all', 'last', 'skip')", name=op.f("ck_schedules_missed_policy")),
        sa.CheckConstraint("priority BETWEEN 0 AND 10", name=op.f("ck_schedules_priority")),
        sa.CheckConstraint("fired >= 0 AND missed >= 0", name=op.f("ck_schedules_counts")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_schedules_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    op.create_index("ix_schedules_user", "schedules", ["user_id", "id"], unique=False)
    _index("ix_schedules_due", "schedules", ["due_at"], "paused_at IS NULL")
    beside.let_roles_use(op.get_bind(), "runs", "run_groups", "schedules")


def _counts() -> list[sa.Column[int]]:
    return [sa.Column(status, sa.Integer(), nullable=False) for status in _COUNTS]


def _index(name: str, table: str, names: list[str], where: str, *, unique: bool = False) -> None:
    parts: list[sa.ColumnElement[object]] = [sa.literal_column(column) for column in names]
    op.create_index(name, table, parts, unique=unique, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def _make_jobs_anew() -> None:
    """Add the columns as the model has them: Alembic's own way would lose the indexes of expressions."""
    # Foreign keys and triggers speak of `jobs` by its name, and go on doing so (see persistence/migrate.py).
    before = [column["name"] for column in sa.inspect(op.get_bind()).get_columns("jobs")]
    op.rename_table("jobs", "jobs_before")
    op.create_table(
        "jobs",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("blocked_by", sa.String(length=20), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("progress_percent", sa.Float(), nullable=False),
        sa.Column("progress_note", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("rescues", sa.Integer(), nullable=False),
        sa.Column("claim_no", sa.Integer(), nullable=False),
        sa.Column("dispatch_no", sa.Integer(), nullable=False),
        sa.Column("resends", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Boolean(), nullable=False),
        sa.Column("slot_limit", sa.String(length=200), nullable=True),
        sa.Column("charge", sa.Float(), nullable=False),
        sa.Column("run_after", columns.Instant(), nullable=True),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("dispatched_at", columns.Instant(), nullable=True),
        sa.Column("started_at", columns.Instant(), nullable=True),
        sa.Column("finished_at", columns.Instant(), nullable=True),
        sa.Column("worker_id", columns.Id(), nullable=True),
        sa.Column("subject", columns.Id(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_hash", sa.String(length=64), nullable=True),
        sa.Column("run_id", columns.Id(), nullable=True),
        sa.Column("run_group", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status IN ('queued', 'processing'))", name=op.f("ck_jobs_finished_when_final")
        ),
        sa.CheckConstraint(_BLOCKED_BY, name=op.f("ck_jobs_blocked_by")),
        sa.CheckConstraint("status IN ('cancelled', 'completed', 'failed', 'processing', 'queued')", name=op.f("ck_jobs_status")),
        sa.CheckConstraint("attempt >= 0 AND claim_no >= 0 AND dispatch_no >= 0", name=op.f("ck_jobs_counts")),
        sa.CheckConstraint("priority BETWEEN 0 AND 10", name=op.f("ck_jobs_priority")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    names = ", ".join(before)
    op.execute(f"INSERT INTO jobs ({names}) SELECT {names} FROM jobs_before")
    op.drop_table("jobs_before")
    _index("ix_jobs_dependants", "jobs", ["id"], "status = 'queued' AND blocked_by = 'dependency'")
    _index("ix_jobs_dispatched", "jobs", ["dispatched_at"], "status = 'queued' AND slot")
    _index("ix_jobs_due", "jobs", ["run_after"], "status = 'queued' AND blocked_by IN ('schedule', 'retry')")
    _index("ix_jobs_finished", "jobs", ["finished_at"], "finished_at IS NOT NULL")
    _index("ix_jobs_lane", "jobs", ["user_id", "priority DESC", "id"], "status = 'queued' AND blocked_by IS NULL AND NOT slot")
    _index("ix_jobs_slots", "jobs", ["worker_id"], "slot")
    _index("ix_jobs_subject", "jobs", ["subject"], "subject IS NOT NULL")
    _index("uq_jobs_idempotency_key", "jobs", ["user_id", "idempotency_key"], "idempotency_key IS NOT NULL", unique=True)
    op.create_index("ix_jobs_type", "jobs", ["type", "user_id", "id"])
    op.create_index("ix_jobs_user_status", "jobs", ["user_id", "status", "id"])
