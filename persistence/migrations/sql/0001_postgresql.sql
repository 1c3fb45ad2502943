-- A moment some seconds after another one. The way over `timestamp` is what makes it immutable (adding to a timestamptz
-- depends on the session's zone, for days), and with that the planner writes it into the statement.
CREATE FUNCTION moment_after(start timestamptz, seconds double precision) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (start AT TIME ZONE 'UTC' + seconds * interval '1 second') AT TIME ZONE 'UTC';

ALTER TABLE transitions ALTER COLUMN xid SET DEFAULT pg_current_xact_id()::text::bigint;

-- The audit trail is written once, and goes with its job: not before that has ended, and only through prune_transitions.
CREATE FUNCTION refuse_change_of_transitions() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('greenroom.pruning', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit trail is not changed' USING ERRCODE = 'insufficient_privilege',
        HINT = 'prune_transitions(job_ids) deletes the transitions of finished jobs.';
END $$;

CREATE TRIGGER transitions_are_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON transitions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_transitions();

-- With its owner's rights, for the role of the application has none to delete here.
CREATE FUNCTION prune_transitions(job_ids uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET greenroom.pruning = 'on' AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM transitions t
    WHERE t.job_id = ANY (job_ids)
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = t.job_id AND (j.finished_at IS NULL OR j.slot));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END $$;

REVOKE ALL ON FUNCTION prune_transitions(uuid[]) FROM PUBLIC;

-- Rows that each dispatch and each outcome writes anew: what they leave behind has to go soon, by number and not by share.
ALTER TABLE users SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

ALTER TABLE type_limits SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0);

ALTER TABLE workers SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0);

-- The lane index is what dispatch reads, and each job leaves dead entries at its front; the statistics follow the bursts.
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 2000, autovacuum_vacuum_cost_delay = 1);

-- Only ever appended to: vacuumed by inserts, for the visibility map and against the wraparound's big round.
ALTER TABLE transitions SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
