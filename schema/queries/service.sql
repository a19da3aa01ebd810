-- Readiness and housekeeping. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: readiness
-- What must hold before anything is acknowledged.
SELECT current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('transaction_read_only') AS read_only,
       (SELECT max(version) FROM collector_schema) AS schema;

-- name: housekeeping_turn
-- Whether this connection may keep house until it ends, one process at a time; and whether TimescaleDB looks after its hypertables itself.
SELECT pg_try_advisory_lock(7236401845520118),
       coalesce((SELECT engine = 'timescaledb' FROM collector_schema ORDER BY version DESC LIMIT 1), false);
