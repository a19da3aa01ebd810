-- Readiness and housekeeping. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: readiness
-- What must hold before anything is acknowledged.
SELECT current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('transaction_read_only') AS read_only,
       (SELECT max(version) FROM collector_schema) AS schema;

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

-- name: forget_old
-- Housekeeping: what is past its retention. One process at a time; the others find that it is not their turn.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(7236401845520118) AS mine
), keys AS (
    -- Not a topic's partition, whose records would be applied again; an imported file is known for as long as a token.
    DELETE FROM progress
    WHERE updated_at < now() - %(keys)s::interval
      AND NOT starts_with(source, 'kafka ')
      AND (split_part(source, ' ', 2) <> 'import' OR updated_at < now() - %(tokens)s::interval)
      AND (SELECT mine FROM turn)
    RETURNING 1
), tokens AS (
    DELETE FROM session_token WHERE created_at < now() - %(tokens)s::interval AND (SELECT mine FROM turn) RETURNING 1
), lines AS (
    DELETE FROM rejected WHERE received_at < now() - %(rejected)s::interval AND (SELECT mine FROM turn) RETURNING 1
)
SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM tokens), (SELECT count(*) FROM lines);
