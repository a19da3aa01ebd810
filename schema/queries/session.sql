-- Messages of /sessions and /sessions/logs. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: lock_sessions_shared
-- Transactions that write live messages of these sessions do not hinder each other, but keep out those that write logs of them. Sessions share
-- 64 buckets, which come sorted. The first number is any that nobody else uses in this database.
SELECT count(pg_advisory_xact_lock_shared(723640184, bucket::integer))
FROM json_array_elements_text(%(buckets)s::json) AS bucket;

-- name: lock_sessions
-- One transaction at a time that has logs: what it does not find stored, nobody else is storing.
SELECT count(pg_advisory_xact_lock(723640184, bucket::integer))
FROM json_array_elements_text(%(buckets)s::json) AS bucket;

-- name: stored_messages
-- Which messages of sessions are stored, of those between two numbers. Session by session, so that the index serves however many rows there are.
SELECT sent.session, stored.seqs
FROM json_to_recordset(%(sessions)s::json) AS sent (session text, first bigint, last bigint)
CROSS JOIN LATERAL (
    SELECT array_agg(seq) AS seqs
    FROM session_message
    WHERE session_message.session = sent.session
      AND seq BETWEEN sent.first AND sent.last
) AS stored
WHERE stored.seqs IS NOT NULL;

-- name: session_page
-- Oldest first; the page goes on at (time, seq), after as many rows with just these. Rows that differ in nothing that is ordered by are the same.
SELECT time, seq, version, cpu, event, phase, properties::text
FROM session_message
WHERE session = %(session)s::text
  AND (%(from)s::timestamptz IS NULL OR time >= %(from)s::timestamptz)
  AND (%(to)s::timestamptz IS NULL OR time < %(to)s::timestamptz)
  AND (%(at_time)s::timestamptz IS NULL
       OR (time >= %(at_time)s::timestamptz AND (time, coalesce(seq, -1)) >= (%(at_time)s::timestamptz, %(at_seq)s::bigint)))
ORDER BY time, coalesce(seq, -1), received_at, version, cpu, event, phase, properties::text
LIMIT %(limit)s OFFSET %(given)s;

-- name: session_span
-- A session within bounds: its first and last message, how many samples, and what it says of itself.
SELECT min(time), max(time), count(cpu), cpu_merge(properties ORDER BY time, seq, properties) FILTER (WHERE event IS NULL AND properties IS NOT NULL)::text,
       cpu_merge(jsonb_build_object('version', version) ORDER BY time, seq, version) FILTER (WHERE version IS NOT NULL) ->> 'version'
FROM session_message
WHERE session = %(session)s::text AND time >= %(from)s::timestamptz AND time < %(to)s::timestamptz;

-- name: session_points
-- The highest sample of each of so many stretches of time between two moments.
SELECT DISTINCT ON (stretch) time, cpu
FROM (
    SELECT time, cpu,
           floor(extract(epoch FROM time - %(first)s::timestamptz) * %(points)s::integer
                 / (extract(epoch FROM %(last)s::timestamptz - %(first)s::timestamptz) + 0.001)) AS stretch
    FROM session_message
    WHERE session = %(session)s::text AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz AND cpu IS NOT NULL
) AS sample
ORDER BY stretch, cpu DESC, time;

-- name: session_samples
-- Every sample between two moments.
SELECT time, cpu
FROM session_message
WHERE session = %(session)s::text AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz AND cpu IS NOT NULL
ORDER BY time, seq, cpu;

-- name: session_events
-- Messages with events between two moments, the last ones.
SELECT time, coalesce(seq, -1), event, phase, properties::text
FROM session_message
WHERE session = %(session)s::text AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz AND event IS NOT NULL
ORDER BY time DESC, seq DESC
LIMIT %(limit)s;
