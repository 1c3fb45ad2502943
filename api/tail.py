"""The tail: follows the audit trail from a place, each job's steps in their own order, and nothing twice."""

from dataclasses import dataclass

from persistence import event_feed
from persistence.database import Database
from persistence.event_feed import Position, Step, Watched

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Told:
    """A step as it is told.

    :param resume: the place from which a listener may resume that has heard everything up to this; None where there is none.
    """

    step: Step
    resume: Position | None


class Tail:
    """Follows the feed from a place, each job's steps in their own order, and nothing twice.

    :param position: what stands there and before it is not told.
    """

    def __init__(self, position: Position) -> None:
        self.position = position
        self._early: set[Position] = set()

    def read(self, database: Database, watched: Watched) -> tuple[list[Told], bool]:
        """Read what has come since.

        :returns: the steps, and whether there is more to be read at once.
        """
        with database.read() as session:
            steps, end = event_feed.read(session, after=self.position, watched=watched, limit=_PAGE)
            early = event_feed.causes(session, of=steps, after=end) if steps else []
        self.position = end
        fresh = [step for step in steps if step.position not in self._early]
        self._early = {place for place in self._early if place > end} | {step.position for step in early}
        # Ids are given when a step is written, and a job's next step is written after the last one: their order is the
        # jobs' own. The feed's order is the one in which nothing is missed: only there may a listener resume.
        told: list[Told] = []
        lowest = end
        for step in sorted([*fresh, *early], key=lambda step: step.position.id, reverse=True):
            told.append(Told(step, step.position if step.position <= lowest else None))
            lowest = min(lowest, step.position)
        return told[::-1], len(steps) == _PAGE

    def has_told(self, step: Step) -> bool:
        """Tell whether a step was among those that were read."""
        return step.position <= self.position or step.position in self._early
