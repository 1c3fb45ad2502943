"""What operators do: they change limits, and pause."""

from hypothesis import strategies as st

from persistence import pauses, resend, users, workers
from tests import factories
from tests.integration.core.machine.installation import FAST, LIMIT, SLOW, Installation
from tests.integration.core.machine.step import step

# What stops everything comes last, for it makes the rest of an example a quiet one.
scopes = st.sampled_from(
    [pauses.Scope(type=FAST)] * 3 + [pauses.Scope(type=SLOW, queue="else"), pauses.Scope(queue=factories.QUEUE), pauses.Scope()]
)


class Operators(Installation):
    """The rules of operators."""

    @step(user=st.integers(0, 2), running=st.integers(1, 4), active=st.integers(1, 8))
    def change_tier(self, user: int, running: int, active: int) -> None:
        """Raise or lower a tier under its users."""
        with self.transaction() as session:
            tier = factories.fetch(session, "users", self.users[user % len(self.users)]).tier
            factories.tier(session, tier, max_running=running, max_active=active)

    @step(user=st.integers(0, 2), tier=st.sampled_from(["tier-0", "tier-1", "free"]))
    def move_user(self, user: int, tier: str) -> None:
        """Put a user into another tier."""
        name = f"user-{user % len(self.users)}"
        with self.transaction() as session:
            users.put(session, name=name, tenant=f"tenant-of-{name}", tier=tier)

    @step(most=st.integers(1, 3))
    def change_type_limit(self, most: int) -> None:
        """Raise or lower the type limit."""
        with self.transaction() as session:
            workers.set_type_limits(session, {LIMIT: most})

    @step(scope=scopes, takes_back=st.sampled_from([True, True, True, False]))
    def pause(self, scope: pauses.Scope, takes_back: bool) -> None:
        """Pause a scope, and take back what was sent and not claimed."""
        with self.transaction() as session:
            pauses.pause(session, scope)
            if takes_back:
                resend.take_back(session)

    @step(4, scope=scopes)
    def resume(self, scope: pauses.Scope) -> None:
        """End a pause."""
        with self.transaction() as session:
            pauses.resume(session, scope)
