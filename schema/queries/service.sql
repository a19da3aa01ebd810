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
)
SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM tokens), (SELECT count(*) FROM lines);
