-- The tiers that Greenroom ships with; an operator who has changed one keeps the change.
INSERT INTO tiers (name, max_active, max_running, max_payload_bytes, max_items, submits_per_minute, weight, changed_at)
VALUES
    ('free', 1, 1, 65536, 3, 60, 1, clock_timestamp()),
    ('pro', 100, 5, 262144, 10, 1200, 4, clock_timestamp()),
    ('enterprise', 100000, 50, 1048576, 50, 60000, 16, clock_timestamp())
ON CONFLICT DO NOTHING;
