-- Readiness and housekeeping. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: readiness
-- What must hold before anything is acknowledged.
SELECT current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('transaction_read_only') AS read_only,
       (SELECT max(version) FROM collector_schema) AS schema;

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
), logs AS (
    DELETE FROM session_log WHERE logged_at < now() - %(sessions)s::interval AND (SELECT mine FROM turn) RETURNING 1
)
SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM tokens), (SELECT count(*) FROM lines);

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
