-- Payloads of /stats, and what is read of them. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: write_payload_singles
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
        json_to_recordset(%(rows)s::json) AS (
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

-- name: start_tokens
-- Tokens come sorted; those that come back start a session now.
INSERT INTO session_token (token)
SELECT json_array_elements_text(%(tokens)s::json)
ON CONFLICT (token) DO NOTHING
RETURNING token;

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
