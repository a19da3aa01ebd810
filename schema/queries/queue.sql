-- The queue behind /payloads. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: write_queue_singles
-- A small batch of single payloads for the queue, as one statement, which is a transaction of its own: like write_payload_singles, without
-- tokens, which are the consumer's.
WITH advanced AS (
    UPDATE progress SET position = %(position)s, updated_at = now()
    WHERE source = %(source)s AND owner = %(writer_owner)s
    RETURNING 1
), single AS (
    SELECT *
    FROM ROWS FROM (
        json_to_recordset(%(rows)s::json) AS (
            token text, customer text, content text, timespan bigint, p2p bigint, cdn bigint, "sessionDuration" bigint
        ),
        json_array_elements_text(%(received)s::json),
        json_array_elements_text(%(claims)s::json),
        json_array_elements_text(%(digests)s::json)
    ) WITH ORDINALITY AS single (
        token, customer, content, timespan, p2p, cdn, session_duration, received_ms, claim, digest, number
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
), written AS (
    INSERT INTO payload_queue (token, customer, content, timespan, p2p, cdn, session_duration, received_at)
    SELECT token, customer, content, timespan, p2p, cdn, session_duration,
           TIMESTAMPTZ 'epoch' + received_ms::bigint * INTERVAL '1 millisecond'
    FROM single
    WHERE claim IS NULL OR claim IN (SELECT source FROM claimed)
    ORDER BY number
)
SELECT (SELECT count(*) = 1 FROM advanced), (SELECT coalesce(json_agg(source), '[]') FROM claimed);

-- name: apply_queue
-- The first rows of the queue from `low` to `high` that nobody else is taking, into `payload`: one statement, which is a transaction of its
-- own. Whatever breaks, a row is in exactly one of the two tables. Of a token's rows the first may start its session. The array is looked up
-- once; a join could look again, and take more than `limit`.
WITH taken AS MATERIALIZED (
    DELETE FROM payload_queue
    WHERE ctid = ANY (ARRAY (
        SELECT ctid
        FROM payload_queue
        WHERE id BETWEEN %(low)s::bigint AND %(high)s::bigint
        ORDER BY id
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, received_at, token, customer, content, timespan, p2p, cdn, session_duration
), first AS MATERIALIZED (
    SELECT token, min(id) AS id FROM taken WHERE session_duration < %(starting_ms)s GROUP BY token
), started AS (
    INSERT INTO session_token (token)
    SELECT token FROM first ORDER BY token COLLATE "C"
    ON CONFLICT (token) DO NOTHING
    RETURNING token
), written AS (
    INSERT INTO payload (received_at, token, customer, content, timespan, p2p, cdn, session_duration, started)
    SELECT received_at, token, customer, content, timespan, p2p, cdn, session_duration,
           id IN (SELECT id FROM first JOIN started USING (token))
    FROM taken
    ORDER BY id
)
SELECT count(*) FROM taken;

-- name: peek_queue
-- The numbers of the rows that apply_queue would begin with.
SELECT id
FROM payload_queue
WHERE id BETWEEN %(low)s::bigint AND %(high)s::bigint
ORDER BY id
LIMIT %(limit)s;

-- name: refuse_queued
-- A row that the database does not take into `payload` goes to quarantine. Comes back: how many rows that were (none: somebody else's turn).
WITH refused AS (
    DELETE FROM payload_queue WHERE id = %(id)s RETURNING *
), quarantined AS (
    INSERT INTO rejected (received_at, source, line, reason, raw)
    SELECT received_at, 'payload_queue', id, %(reason)s::text,
           convert_to(json_build_object('token', token, 'customer', customer, 'content', content, 'timespan', timespan,
                                        'p2p', p2p, 'cdn', cdn, 'sessionDuration', session_duration)::text, 'UTF8')
    FROM refused
)
SELECT count(*) FROM refused;

-- name: queue_lag
-- Rows that wait, and the age of the oldest in seconds. Every process asks, so only 100,000 are counted; where there are more, all numbers
-- from the first to the last are taken for rows.
SELECT CASE WHEN counted.rows < 100000 THEN counted.rows
            ELSE (SELECT max(id) - min(id) + 1 FROM payload_queue) END,
       coalesce((SELECT extract(epoch FROM now() - received_at) FROM payload_queue ORDER BY id LIMIT 1), 0)::float8
FROM (SELECT count(*) AS rows FROM (SELECT FROM payload_queue LIMIT 100000) AS waiting) AS counted;

-- name: find_marks
-- Which line of each keyed source a partition's records have brought so far. The partition's own row is locked by then, so nobody else moves
-- them.
SELECT source, position FROM progress WHERE source = ANY (SELECT json_array_elements_text(%(sources)s::json));

-- name: move_marks
-- The same, moved on in the transaction of the lines.
INSERT INTO progress (source, owner, position)
SELECT source, 1, position
FROM json_to_recordset(%(marks)s::json) AS mark (source text, position bigint)
ORDER BY source COLLATE "C"
ON CONFLICT (source) DO UPDATE SET position = excluded.position, updated_at = now();
