"""First tables."""

import sqlalchemy as sa
from alembic import op

from persistence import columns
from persistence.migrations import beside

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
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
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status IN ('queued', 'processing'))", name=op.f("ck_jobs_finished_when_final")
        ),
        sa.CheckConstraint("blocked_by IN ('dependency', 'retry', 'schedule')", name=op.f("ck_jobs_blocked_by")),
        sa.CheckConstraint("status IN ('cancelled', 'completed', 'failed', 'processing', 'queued')", name=op.f("ck_jobs_status")),
        sa.CheckConstraint("attempt >= 0 AND claim_no >= 0 AND dispatch_no >= 0", name=op.f("ck_jobs_counts")),
        sa.CheckConstraint("priority BETWEEN 0 AND 10", name=op.f("ck_jobs_priority")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_jobs_dependants",
        "jobs",
        [sa.literal_column("id")],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND blocked_by = 'dependency'"),
        sqlite_where=sa.text("status = 'queued' AND blocked_by = 'dependency'"),
    )
    op.create_index(
        "ix_jobs_dispatched",
        "jobs",
        [sa.literal_column("dispatched_at")],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND slot"),
        sqlite_where=sa.text("status = 'queued' AND slot"),
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        [sa.literal_column("run_after")],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND blocked_by IN ('schedule', 'retry')"),
        sqlite_where=sa.text("status = 'queued' AND blocked_by IN ('schedule', 'retry')"),
    )
    op.create_index(
        "ix_jobs_finished",
        "jobs",
        [sa.literal_column("finished_at")],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
        sqlite_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_lane",
        "jobs",
        [sa.literal_column("user_id"), sa.literal_column("priority DESC"), sa.literal_column("id")],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND blocked_by IS NULL AND NOT slot"),
        sqlite_where=sa.text("status = 'queued' AND blocked_by IS NULL AND NOT slot"),
    )
    op.create_index(
        "ix_jobs_slots",
        "jobs",
        [sa.literal_column("worker_id")],
        unique=False,
        postgresql_where=sa.text("slot"),
        sqlite_where=sa.text("slot"),
    )
    op.create_index(
        "ix_jobs_subject",
        "jobs",
        [sa.literal_column("subject")],
        unique=False,
        postgresql_where=sa.text("subject IS NOT NULL"),
        sqlite_where=sa.text("subject IS NOT NULL"),
    )
    op.create_index(
        "uq_jobs_idempotency_key",
        "jobs",
        [sa.literal_column("user_id"), sa.literal_column("idempotency_key")],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("ix_jobs_type", "jobs", ["type", "user_id", "id"], unique=False)
    op.create_index("ix_jobs_user_status", "jobs", ["user_id", "status", "id"], unique=False)
    op.create_table(
        "pauses",
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("paused_at", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("type", "user_id", "queue", name=op.f("pk_pauses")),
    )
    op.create_table(
        "tenants",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "tiers",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("max_active", sa.Integer(), nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=False),
        sa.Column("max_payload_bytes", sa.Integer(), nullable=False),
        sa.Column("max_items", sa.Integer(), nullable=False),
        sa.Column("submits_per_minute", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("changed_at", columns.Instant(), nullable=False),
        sa.CheckConstraint("max_active > 0 AND max_running > 0", name=op.f("ck_tiers_limits_positive")),
        sa.CheckConstraint("weight > 0", name=op.f("ck_tiers_weight_positive")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tiers")),
    )
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False),
        sa.Column("xid", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default=sa.text("0"), nullable=False),
        sa.Column("job_id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("from_status", sa.String(length=20), nullable=True),
        sa.Column("to_status", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("claim_no", sa.Integer(), nullable=False),
        sa.Column("at", columns.Instant(), nullable=False),
        sa.Column("worker_id", columns.Id(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "to_status IN ('cancelled', 'completed', 'failed', 'processing', 'queued')",
            name=op.f("ck_transitions_to_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transitions")),
        sa.UniqueConstraint("job_id", "seq", name=op.f("uq_transitions_job_id_seq")),
    )
    op.create_index("ix_transitions_order", "transitions", ["xid", "id"], unique=False)
    op.create_table(
        "type_limits",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("max_held", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.CheckConstraint("held >= 0", name=op.f("ck_type_limits_held_not_negative")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_type_limits")),
    )
    op.create_table(
        "workers",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("beat_no", sa.Integer(), nullable=False),
        sa.Column("started_at", columns.Instant(), nullable=False),
        sa.Column("beat_at", columns.Instant(), nullable=False),
        sa.Column("dead_at", columns.Instant(), nullable=True),
        sa.Column("stopped_at", columns.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("job_id", columns.Id(), nullable=False),
        sa.Column("claim_no", sa.Integer(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("died_at", columns.Instant(), nullable=False),
        sa.Column("replayed_at", columns.Instant(), nullable=True),
        sa.Column("deleted_at", columns.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_dead_letters_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("job_id", "claim_no", name=op.f("uq_dead_letters_job_id_claim_no")),
    )
    op.create_index("ix_dead_letters_fingerprint", "dead_letters", ["fingerprint", "id"], unique=False)
    op.create_index("ix_dead_letters_type", "dead_letters", ["type", "id"], unique=False)
    op.create_index("ix_dead_letters_user", "dead_letters", ["user_id", "id"], unique=False)
    op.create_table(
        "dependencies",
        sa.Column("job_id", columns.Id(), nullable=False),
        sa.Column("parent_id", columns.Id(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_dependencies_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["parent_id"], ["jobs.id"], name=op.f("fk_dependencies_parent_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "parent_id", name=op.f("pk_dependencies")),
    )
    op.create_index(op.f("ix_dependencies_parent_id"), "dependencies", ["parent_id"], unique=False)
    op.create_table(
        "job_files",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("job_id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=200), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_files_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_files")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_job_files_job_id_name")),
    )
    op.create_table(
        "tags",
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("tag", sa.String(length=100), nullable=False),
        sa.Column("job_id", columns.Id(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_tags_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "tag", "job_id", name=op.f("pk_tags")),
    )
    op.create_table(
        "users",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("tenant_id", columns.Id(), nullable=False),
        sa.Column("tier", sa.String(length=100), nullable=False),
        sa.Column("disabled_at", columns.Instant(), nullable=True),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("unfinished", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("ready", sa.Integer(), nullable=False),
        sa.Column("vtime", sa.Float(), nullable=False),
        sa.CheckConstraint("held >= 0", name=op.f("ck_users_held_not_negative")),
        sa.CheckConstraint("ready >= 0", name=op.f("ck_users_ready_not_negative")),
        sa.CheckConstraint("unfinished >= 0", name=op.f("ck_users_unfinished_not_negative")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_users_tenant_id_tenants")),
        sa.ForeignKeyConstraint(["tier"], ["tiers.name"], name=op.f("fk_users_tier_tiers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_users_clock", "users", ["vtime"], unique=False)
    op.create_index(
        "ix_users_fair_order",
        "users",
        ["vtime"],
        unique=False,
        postgresql_where=sa.text("ready > 0"),
        sqlite_where=sa.text("ready > 0"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=20), nullable=False),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("expires_at", columns.Instant(), nullable=True),
        sa.Column("revoked_at", columns.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_index("ix_api_keys_user", "api_keys", ["user_id", "id"], unique=False)
    op.create_table(
        "books",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("deleted_at", columns.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_books_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_books")),
    )
    op.create_index("ix_books_user", "books", ["user_id", "id"], unique=False)
    op.create_table(
        "file_chunks",
        sa.Column("file_id", columns.Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["job_files.id"], name=op.f("fk_file_chunks_file_id_job_files"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "number", name=op.f("pk_file_chunks")),
    )
    beside.run(op.get_bind(), revision)
