"""When a process is started again, when there is no hope that it starts at all, and how long is waited in between."""

import pytest

from api import supervisor
from api.processes import FAILED, HOPELESS, Child
from api.supervisor import CannotStartError, Service


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        """Read it."""
        return self.seconds


class Stillborn(Child):
    """A child that is never forked."""

    def start(self) -> None:
        """Do nothing."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Take the supervisor's clock in hand."""
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    return clock


@pytest.fixture
def service() -> Service:
    """A service whose processes live and die as a test says."""
    return Service("worker 1", lambda: Stillborn("stillborn", lambda: None))


def live(service: Service, clock: Clock, seconds: float, code: int = FAILED) -> float:
    """Let the service's process live for so long, and give the pause before the next one."""
    service.start()
    clock.seconds += seconds
    assert service.child is not None
    service.child.exit_code = code
    service.note_exit()
    return service.next_start - clock.seconds


def test_the_pause_doubles_up_to_a_limit(service: Service, clock: Clock) -> None:
    """A process that keeps dying young is started after longer and longer pauses, half a minute at most."""
    live(service, clock, 60)
    pauses = [live(service, clock, 1) for _ in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_long_life_makes_the_pause_short_again(service: Service, clock: Clock) -> None:
    """A process that has run well for a while is started again soon after it dies."""
    live(service, clock, 60)
    live(service, clock, 1)
    assert live(service, clock, 60) == 0.25


def test_one_that_never_ran_is_given_up(service: Service, clock: Clock) -> None:
    """A process that dies at its start, again and again, ends the whole."""
    live(service, clock, 1)
    live(service, clock, 1)
    with pytest.raises(CannotStartError, match=r"the worker 1 process cannot start \(exit code 1\)"):
        live(service, clock, 1)


def test_one_that_cannot_be_imported_is_given_up_at_once(service: Service, clock: Clock) -> None:
    """A process that says itself that it cannot start is believed the first time."""
    with pytest.raises(CannotStartError):
        live(service, clock, 1, HOPELESS)


def test_one_that_has_run_is_never_given_up(service: Service, clock: Clock) -> None:
    """A process that could start once is started for ever: what it needs may have gone away and will come back."""
    live(service, clock, 60)
    assert [live(service, clock, 1, HOPELESS) > 0 for _ in range(20)] == [True] * 20


def test_a_signal_is_named(service: Service, clock: Clock) -> None:
    """What a process died of is said in words."""
    live(service, clock, 1)
    live(service, clock, 1)
    with pytest.raises(CannotStartError, match="killed by SIGSEGV"):
        live(service, clock, 1, -11)
