"""What callers do: they submit, cancel, replay and throw away."""

from dataclasses import replace

from hypothesis import strategies as st

from persistence import admission, cancellation, dead_letters, replays, run_control
from persistence.errors import ConcurrentJobLimitError, IllegalTransitionError, JobFinishedError
from persistence.runs import NewRun, OnFailure
from persistence.statements import run
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
        on_failure=st.none() | st.sampled_from(OnFailure),
        tags=st.sampled_from([(), ("model:a",), ("model:b", "x")]),
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
        on_failure: OnFailure | None,
        tags: tuple[str, ...],
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
                tags=tags,
                depends_on=tuple({mine[place % len(mine)] for place in parents} if mine else ()),
            )
            for _ in range(1 if key else count)
        ]
        new = NewRun("a run", on_failure) if on_failure and not key else None
        if new and len(asked) > 1:  # the last one waits for the first one, too
            asked[-1] = replace(asked[-1], depends_on=(*asked[-1].depends_on, asked[0].id))
        unit = admission.Unit(user_id, asked, key, "hash" if key else None, run=new)
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
                over = job.run_id is not None and self.row("runs", str(job.run_id)).cancelled_at is not None
                assert job.status != "failed" or job.claim_no != letter.claim_no or over

    @when(lambda self: self.open_runs())
    @step(3, place=st.integers(0, 1000))
    def pause_run(self, place: int) -> None:
        """Pause a run, which then has nothing that was sent and not claimed."""
        run_id = self.open_runs()[place % len(self.open_runs())]
        try:
            run_control.pause(self.database, run_id=run_id, user_id=None)
        except IllegalTransitionError:
            assert self.row("runs", run_id).paused_at is not None
        assert self.rows("SELECT 1 FROM jobs WHERE run_id = :run AND slot AND status = 'queued'", run=run_id) == []

    @when(lambda self: self.open_runs())
    @step(4, place=st.integers(0, 1000))
    def resume_run(self, place: int) -> None:
        """Let a run go on."""
        run_id = self.open_runs()[place % len(self.open_runs())]
        before = self.row("runs", run_id).paused_at
        try:
            run_control.resume(self.database, run_id=run_id, user_id=None)
            assert self.rows("SELECT 1 FROM jobs WHERE run_id = :run AND blocked_by = 'paused'", run=run_id) == []
        except IllegalTransitionError:
            assert before is None

    @when(lambda self: self.open_runs())
    @step(place=st.integers(0, 1000), leaves_off=rarely)
    def cancel_run(self, place: int, leaves_off: bool) -> None:
        """Cancel a run; who does so may end between its mark and its jobs."""
        run_id = self.open_runs()[place % len(self.open_runs())]
        if leaves_off:
            with self.transaction() as session:
                run(session, "UPDATE runs SET cancelled_at = :then WHERE id = :id", then="2001-01-01 00:00:00.000000", id=run_id)
            return
        found = run_control.cancel(self.database, run_id=run_id, user_id=None)
        assert (found.queued, found.processing) == (0, 0)

    def open_runs(self) -> list[str]:
        """List the runs that are neither completed nor cancelled."""
        return [str(row.id) for row in self.rows("SELECT id FROM runs WHERE finished_at IS NULL AND cancelled_at IS NULL")]

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
