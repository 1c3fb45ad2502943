-- Whoever may write the tables that were there before may write these: a role of the application (`migrate --app-role`) that
-- was given its rights by an earlier version would otherwise be refused by every worker that delivers.
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT DISTINCT g.grantee FROM information_schema.role_table_grants g
        WHERE g.table_schema = current_schema() AND g.table_name = 'books' AND g.privilege_type = 'DELETE'
        AND g.grantee NOT IN (current_user, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints, webhook_cursor, webhook_deliveries TO %I', role);
    END LOOP;
END $$;

-- One row that moves all day, and rows that each try writes anew.
ALTER TABLE webhook_cursor SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0);

ALTER TABLE webhook_deliveries SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
