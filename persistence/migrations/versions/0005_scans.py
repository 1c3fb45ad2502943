"""Repositories and their scans."""

import sqlalchemy as sa
from alembic import op

from persistence import columns
from persistence.migrations import beside

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_PHASES = "phase IN ('cluster', 'done', 'embed', 'ingest')"
_COUNTS = "pr_count >= 0 AND ingested_count >= 0 AND embedded_count >= 0"


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "repositories",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=True),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_repositories_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
        sa.UniqueConstraint("user_id", "owner", "name", name=op.f("uq_repositories_user_id_owner_name")),
    )
    op.create_table(
        "scans",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("repository_id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("pr_count", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("ingested_count", sa.Integer(), nullable=False),
        sa.Column("embedded_count", sa.Integer(), nullable=False),
        sa.Column("dupe_group_count", sa.Integer(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=True),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("started_at", columns.Instant(), nullable=True),
        sa.CheckConstraint(_PHASES, name=op.f("ck_scans_phase")),
        sa.CheckConstraint(_COUNTS, name=op.f("ck_scans_counts")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_scans_repository_id_repositories")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_scans_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scans")),
    )
    op.create_index("ix_scans_repository", "scans", ["repository_id", "id"], unique=False)
    op.create_index("ix_scans_created", "scans", ["created_at"], unique=False)
    op.create_table(
        "scan_pulls",
        sa.Column("scan_id", columns.Id(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("head", sa.String(length=64), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("diff", sa.LargeBinary(), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["scan_id"], ["scans.id"], name=op.f("fk_scan_pulls_scan_id_scans"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("scan_id", "number", name=op.f("pk_scan_pulls")),
    )
    beside.let_roles_use(op.get_bind(), "repositories", "scans", "scan_pulls")
