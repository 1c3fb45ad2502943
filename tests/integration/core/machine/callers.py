"""What callers do: they submit, cancel, replay and throw away."""

from hypothesis import strategies as st

from persistence import admission, cancellation, dead_letters, replays
from persistence.errors import ConcurrentJobLimitError, IllegalTransitionError, JobFinishedError
from tests import factories
from tests.integration.core.machine.installation import FAR, FAST, LIMITED, SLOW, STRANGE, Installation
from tests.integration.core.machine.step import rarely, step, when


class Callers(Installation):
    """The rules of callers."""

    @step(
        8,
        user=st.integers(0, 2),
        count=st.integers(1, 3),
        kind=st.sampled_from([FAST, LIMITED, SLOW, FAST, LIMITED, SLOW, STRANGE]),
        priority=st.integers(0, 10),
        later=rarely,
        tries=st.integers(1, 3),
        key=st.none() | st.sampled_from(["a", "b"]),
        parents=st.just([]) | st.just([]) | st.lists(st.integers(0, 100), max_size=2),
        crash=rarely,
        repeats=rarely,
    )
    def admit(
        self,
        user: int,
        count: int,
        kind: str,
        priority: int,
        later: bool,
        tries: int,
        key: str | None,
        parents: list[int],
        crash: bool,
        repeats: bool,
    ) -> None:
        """Submit some jobs; the answer to the commit may be lost, so that it is done again."""
        user_id = self.users[user % len(self.users)]
        mine = self.jobs_of(user_id)
        asked = [
            factories.submission(
                kind,
                priority=priority,
                max_attempts=tries,
                run_after=FAR if later else None,
                depends_on=tuple({mine[place % len(mine)] for place in parents} if mine else ()),
            )
            for _ in range(1 if key else count)
        ]
        unit = admission.Unit(user_id, asked, key, "hash" if key else None)
        before = self.row("users", user_id)
        with self.transaction(crash=crash) as session:
            (answer,) = admission.submit(session, [unit])
        if crash:
            assert self.row("users", user_id) == before
            return
        most = self.limit_of(user_id, "max_active")
        if isinstance(answer, ConcurrentJobLimitError):
            assert before.unfinished + len(asked) > most
            return
        assert isinstance(answer, admission.Admitted)
        if answer.replayed:
            assert self.row("users", user_id) == before
            return
        assert before.unfinished + len(asked) <= most
        self.jobs += answer.ids
        if repeats:
            with self.transaction() as session:
                (again,) = admission.submit(session, [unit], repeated=True)
            assert isinstance(again, admission.Admitted)
            assert again.ids == answer.ids

    @when(lambda self: self.jobs)
    @step(3, places=st.lists(st.integers(0, 1000), min_size=1, max_size=3), crash=rarely)
    def cancel(self, places: list[int], crash: bool) -> None:
        """Cancel a job or some at once."""
        ids = [self.jobs[place % len(self.jobs)] for place in places]
        with self.transaction(crash=crash) as session:
            if len(ids) > 1:
                cancellation.cancel_many(session, job_ids=ids, user_id=None)
                return
            status = factories.fetch(session, "jobs", ids[0]).status
            try:
                assert cancellation.cancel(session, job_id=ids[0], user_id=None) == (status in {"queued", "processing"})
            except JobFinishedError:
                assert status in {"completed", "failed"}

    @step(6, place=st.integers(0, 1000), repeats=rarely)
    def replay(self, place: int, repeats: bool) -> None:
        """Replay a dead letter, pressed once or twice."""
        with self.database.read() as session:
            letters = dead_letters.listed(session, user_id=None, limit=100)
        if not letters:
            return
        letter = letters[place % len(letters)]
        for _ in range(1 + repeats):
            try:
                with self.transaction() as session:
                    replays.replay(session, letter_id=letter.id, user_id=None)
            except ConcurrentJobLimitError:
                assert self.row("users", letter.user_id).unfinished >= self.limit_of(letter.user_id, "max_active")
            except IllegalTransitionError:
                job = self.row("jobs", letter.job_id)
                assert job.status != "failed" or job.claim_no != letter.claim_no

    @step()
    def replay_all(self) -> None:
        """Replay all dead letters that there is room for."""
        with self.transaction() as session:
            replays.replay_many(session, user_id=None)

    @step(place=st.integers(0, 1000))
    def throw_letter_away(self, place: int) -> None:
        """Delete a dead letter."""
        with self.transaction() as session:
            letters = dead_letters.listed(session, user_id=None, limit=100)
            if letters:
                dead_letters.delete(session, letter_id=letters[place % len(letters)].id, user_id=None)
