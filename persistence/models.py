"""All tables in one place, for the migrations and the tests that compare them."""

from sqlmodel import SQLModel

from persistence import (
    books,
    browser_sessions,
    dead_letters,
    evaluations,
    files,
    jobs,
    keys,
    repositories,
    runs,
    scan_pulls,
    scans,
    schedules,
    transitions,
    users,
    webhook_deliveries,
    webhook_endpoints,
    workers,
)

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
    runs.Run,
    runs.RunGroup,
    schedules.Schedule,
    webhook_endpoints.WebhookEndpoint,
    webhook_endpoints.WebhookCursor,
    webhook_deliveries.WebhookDelivery,
    browser_sessions.BrowserSession,
    evaluations.Definition,
    repositories.Repository,
    scans.Scan,
    scan_pulls.ScanPull,
)
