-- Named queries, each with its purpose; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: take_writer
-- A writer's new connection takes the writer's own row, whose position counts its transactions. It waits for a transaction of the connection
-- before, and whatever still arrives by that one is of another owner and writes nothing. Owner 1: the row was not there.
INSERT INTO progress (source, owner, position) VALUES (%(source)s, 1, 0)
ON CONFLICT (source) DO UPDATE SET owner = progress.owner + 1, updated_at = now()
RETURNING owner, position;

-- name: advance_writer
-- In every transaction of a writer. No row: the writer was fenced.
UPDATE progress SET position = %(position)s, updated_at = now()
WHERE source = %(source)s AND owner = %(writer_owner)s
RETURNING position;

-- name: forget_writer
-- At a clean end.
DELETE FROM progress WHERE source = %(source)s;

-- name: claim_singles
-- Keys of single payloads; those that come back are new, the others are repeats.
INSERT INTO progress (source, owner, position, complete, digest, accepted)
SELECT source, 1, 1, true, decode(digest, 'hex'), 1
FROM json_to_recordset(%(claims)s::json) AS claim (source text, digest text)
ORDER BY source COLLATE "C"
ON CONFLICT (source) DO NOTHING
RETURNING source;

-- name: write_singles
-- A small batch of single payloads as one statement, which is a transaction of its own: the writer's progress, keys, tokens and rows.
-- Comes back: whether the writer still owns its row (if not, nothing is written), and which keys are new; rows of the other keys are left
-- out. Of a token's rows the first may start its session. Element n of each list belongs to payload n.
WITH advanced AS (
    UPDATE progress SET position = %(position)s, updated_at = now()
    WHERE source = %(source)s AND owner = %(writer_owner)s
    RETURNING 1
), single AS (
    SELECT *
    FROM ROWS FROM (
        json_to_recordset(%(payloads)s::json) AS (
            token text, customer text, content text, timespan bigint, p2p bigint, cdn bigint, "sessionDuration" bigint
        ),
        json_array_elements_text(%(received)s::json),
        json_array_elements_text(%(candidates)s::json),
        json_array_elements_text(%(claims)s::json),
        json_array_elements_text(%(digests)s::json)
    ) WITH ORDINALITY AS single (
        token, customer, content, timespan, p2p, cdn, session_duration, received_ms, candidate, claim, digest, number
    )
    WHERE EXISTS (SELECT FROM advanced)
), claimed AS (
    INSERT INTO progress (source, owner, position, complete, digest, accepted)
    SELECT claim, %(owner)s::bigint, 1, true, decode(digest, 'hex'), 1
    FROM single
    WHERE claim IS NOT NULL
    ORDER BY claim COLLATE "C"
    ON CONFLICT (source) DO NOTHING
    RETURNING source
), kept AS MATERIALIZED (
    SELECT * FROM single WHERE claim IS NULL OR claim IN (SELECT source FROM claimed)
), first AS MATERIALIZED (
    SELECT token, min(number) AS number FROM kept WHERE candidate::boolean GROUP BY token
), started AS (
    INSERT INTO session_token (token)
    SELECT token FROM first ORDER BY token COLLATE "C"
    ON CONFLICT (token) DO NOTHING
    RETURNING token
), written AS (
    INSERT INTO payload (token, customer, content, timespan, p2p, cdn, session_duration, received_at, started)
    SELECT token, customer, content, timespan, p2p, cdn, session_duration,
           TIMESTAMPTZ 'epoch' + received_ms::bigint * INTERVAL '1 millisecond',
           number IN (SELECT number FROM first JOIN started USING (token))
    FROM kept
)
SELECT (SELECT count(*) = 1 FROM advanced), (SELECT coalesce(json_agg(source), '[]') FROM claimed);

-- name: find_progress
-- How far sources are committed.
SELECT source, owner, position, complete, digest, accepted, rejected
FROM progress
WHERE source = ANY (SELECT json_array_elements_text(%(sources)s::json));

-- name: take_stream
-- A request takes a key: it becomes the owner, and whoever was can commit nothing more. Waits for a commit of theirs under way.
INSERT INTO progress (source, owner, position) VALUES (%(source)s, 1, 0)
ON CONFLICT (source) DO UPDATE SET owner = progress.owner + 1, updated_at = now()
RETURNING source, owner, position, complete, digest, accepted, rejected;

-- name: advance_streams
-- Compare-and-set on owner and position; sources that do not come back have moved on. Locked in order of their names.
WITH step AS (
    SELECT *
    FROM json_to_recordset(%(steps)s::json) AS step (
        source text, owner bigint, expected bigint, position bigint, complete boolean, digest text, accepted bigint, rejected bigint
    )
), locked AS MATERIALIZED (
    SELECT source FROM progress WHERE source IN (SELECT source FROM step) ORDER BY source FOR UPDATE
)
UPDATE progress
SET position   = step.position,
    complete   = step.complete,
    digest     = decode(step.digest, 'hex'),
    accepted   = progress.accepted + step.accepted,
    rejected   = progress.rejected + step.rejected,
    updated_at = now()
FROM step, locked
WHERE progress.source = step.source
  AND locked.source = step.source
  AND progress.owner = step.owner
  AND progress.position = step.expected
  AND NOT progress.complete
RETURNING progress.source, progress.owner;

-- name: start_tokens
-- Tokens come sorted; those that come back start a session now.
INSERT INTO session_token (token)
SELECT json_array_elements_text(%(tokens)s::json)
ON CONFLICT (token) DO NOTHING
RETURNING token;

-- name: rejected_lines
-- The first rejected lines of a stream, for the summary of one that is sent again. Only its newest ones: the key may have
-- named another stream before, whose progress is forgotten sooner than its lines.
SELECT line, reason
FROM (
    SELECT line, reason FROM rejected WHERE source = %(source)s ORDER BY received_at DESC, line DESC LIMIT %(newest)s
) AS own
ORDER BY line
LIMIT %(limit)s;

-- name: stats_page
-- Newest first; the page goes on after (bucket, customer, content). Conditions are on the bucket, so that an index serves.
SELECT bucket + INTERVAL '5 minutes', customer, content, cdn::text, p2p::text, sessions
FROM stats_5m
WHERE (%(from)s::timestamptz IS NULL OR bucket > %(from)s::timestamptz - INTERVAL '5 minutes')
  AND (%(to)s::timestamptz IS NULL OR bucket <= %(to)s::timestamptz - INTERVAL '5 minutes')
  AND (%(customer)s::text IS NULL OR customer = %(customer)s::text)
  AND (%(content)s::text IS NULL OR content = %(content)s::text)
  AND (%(after_bucket)s::timestamptz IS NULL
       OR bucket < %(after_bucket)s::timestamptz
       OR (bucket = %(after_bucket)s::timestamptz
           AND (customer COLLATE "C", content COLLATE "C") > (%(after_customer)s::text, %(after_content)s::text)))
ORDER BY bucket DESC, customer COLLATE "C", content COLLATE "C"
LIMIT %(limit)s;

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
    DELETE FROM progress WHERE updated_at < now() - %(keys)s::interval AND (SELECT mine FROM turn) RETURNING 1
), tokens AS (
    DELETE FROM session_token WHERE created_at < now() - %(tokens)s::interval AND (SELECT mine FROM turn) RETURNING 1
), lines AS (
    DELETE FROM rejected WHERE received_at < now() - %(rejected)s::interval AND (SELECT mine FROM turn) RETURNING 1
)
SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM tokens), (SELECT count(*) FROM lines);
