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

-- name: keep_sources
-- Streams that are open have not ended, however long nothing has come by them. Sorted, as all who lock sources do.
UPDATE progress SET updated_at = now()
WHERE source IN (
    SELECT source FROM progress
    WHERE source = ANY (SELECT json_array_elements_text(%(sources)s::json))
    ORDER BY source
    FOR UPDATE SKIP LOCKED
)
RETURNING source;

-- name: has_aggregates
-- Whether the database has TimescaleDB's jobs to look at.
SELECT to_regclass('timescaledb_information.job_stats') IS NOT NULL;

-- name: refreshed_aggregates
-- When each continuous aggregate was last refreshed by its policy, the most frequent one where it has several; since the database was
-- migrated at the earliest, so that one which never was refreshed ages, too.
SELECT DISTINCT ON (cagg.view_name)
       cagg.view_name::text,
       extract(epoch FROM greatest(nullif(stats.last_successful_finish, '-infinity'),
                                   (SELECT min(applied_at) FROM collector_schema)))::float8
FROM timescaledb_information.jobs AS job
JOIN timescaledb_information.continuous_aggregates AS cagg
     -- The aggregate by one name or the other, as the release has it.
     ON (job.hypertable_schema, job.hypertable_name) IN ((cagg.view_schema, cagg.view_name),
         (cagg.materialization_hypertable_schema, cagg.materialization_hypertable_name))
LEFT JOIN timescaledb_information.job_stats AS stats USING (job_id)
WHERE job.proc_name = 'policy_refresh_continuous_aggregate' AND cagg.view_schema = current_schema()
ORDER BY cagg.view_name, job.schedule_interval;

-- name: end_stalled
-- Writers of ours whose transaction has waited for them for so long that they must have stalled. In the middle of a COPY or of a pipeline the server
-- waits without looking at any timeout, and others wait for the keys that they hold. They find out when they wake up, and try again.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = session_user
  AND application_name = 'collector'
  AND state <> 'idle'
  AND wait_event = 'ClientRead'
  AND query_start < now() - INTERVAL '10 seconds';
