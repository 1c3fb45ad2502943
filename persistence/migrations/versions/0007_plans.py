"""Plans and their tasks."""

import sqlalchemy as sa
from alembic import op

from persistence import columns
from persistence.migrations import beside

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "plans",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("goals", sa.Text(), nullable=False),
        sa.Column("job_id", columns.Id(), nullable=True),
        sa.Column("made_by", sa.String(length=20), nullable=True),
        sa.Column("created_at", columns.Instant(), nullable=False),
        sa.Column("approved_at", columns.Instant(), nullable=True),
        sa.Column("completed_at", columns.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_plans_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_index("ix_plans_user", "plans", ["user_id", "id"], unique=False)
    op.create_table(
        "plan_tasks",
        sa.Column("plan_id", columns.Id(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("goal", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("follows", sa.Text(), nullable=False),
        sa.CheckConstraint("number > 0 AND goal > 0", name=op.f("ck_plan_tasks_numbers")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_plan_tasks_plan_id_plans"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan_id", "number", name=op.f("pk_plan_tasks")),
    )
    beside.let_roles_use(op.get_bind(), "plans", "plan_tasks")
