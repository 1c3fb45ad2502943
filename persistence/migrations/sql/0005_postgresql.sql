-- Whoever may write the tables that were there before may write these: a role of the application (`migrate --app-role`) that
-- was given its rights by an earlier version would otherwise be refused by every API and worker that scans.
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT DISTINCT g.grantee FROM information_schema.role_table_grants g
        WHERE g.table_schema = current_schema() AND g.table_name = 'books' AND g.privilege_type = 'DELETE'
        AND g.grantee NOT IN (current_user, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON repositories, scans, scan_pulls TO %I', role);
    END LOOP;
END $$;
