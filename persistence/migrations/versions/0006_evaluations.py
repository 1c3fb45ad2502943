"""Definitions of evaluations."""

import sqlalchemy as sa
from alembic import op

from persistence import columns
from persistence.migrations import beside

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "evaluation_definitions",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("scenarios", sa.Text(), nullable=False),
        sa.Column("scenario_count", sa.Integer(), nullable=False),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_evaluation_definitions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation_definitions")),
    )
    op.create_index("ix_evaluation_definitions_user", "evaluation_definitions", ["user_id", "id"], unique=False)
    beside.let_roles_use(op.get_bind(), "evaluation_definitions")
