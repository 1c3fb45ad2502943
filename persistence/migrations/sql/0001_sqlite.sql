-- The audit trail is written once, and goes with its job: not before that has ended. A migration that rebuilds the table
-- takes its triggers along and has to make them again.
CREATE TRIGGER transitions_are_not_changed BEFORE UPDATE ON transitions
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is not changed');
END;

CREATE TRIGGER transitions_of_living_jobs_stay BEFORE DELETE ON transitions
WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id AND (jobs.finished_at IS NULL OR jobs.slot))
BEGIN
    SELECT RAISE(ABORT, 'the audit trail of an unfinished job is not deleted');
END;
