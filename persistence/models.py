"""All tables in one place, for the migrations and the tests that compare them."""

from sqlmodel import SQLModel

from persistence import books, dead_letters, files, jobs, keys, plans, runs, schedules, transitions, users, workers

METADATA = SQLModel.metadata
TABLES = (
    users.Tenant,
    users.Tier,
    users.User,
    keys.ApiKey,
    jobs.Job,
    jobs.Tag,
    jobs.Dependency,
    transitions.Transition,
    dead_letters.DeadLetter,
    files.JobFile,
    files.FileChunk,
    workers.Worker,
    workers.TypeLimit,
    workers.Pause,
    books.Book,
    plans.Plan,
    plans.PlanTask,
    runs.Run,
    runs.RunGroup,
    schedules.Schedule,
)
