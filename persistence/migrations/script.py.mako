"""${message.capitalize()}."""

import sqlalchemy as sa
from alembic import op

from persistence import columns
from persistence.migrations import beside

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    ${upgrades if upgrades else "pass"}
    beside.run(op.get_bind(), revision)
