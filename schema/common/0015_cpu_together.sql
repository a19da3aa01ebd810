-- Events may be in force together, and may say the same: what they said is to count a sample once.

-- Of rows with the same samples, those of a session and bucket for which several events were in force, the same number: a hash of what these were. Null
-- where it was one event, or more than 16; and in rows that were made before this column, where the messages are gone: these count for themselves.
ALTER TABLE session_cpu ADD COLUMN together bigint;

-- Whether a row of session_cpu fulfils conditions: an event (null: any), and [{"key": …, "op": …, "value": …}, …] on what it said.
CREATE FUNCTION cpu_tells(event_id integer, properties jsonb, event integer, told jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (event IS NULL OR event_id = event) AND NOT EXISTS (
        SELECT
        FROM jsonb_to_recordset(told) AS condition (key text, op text, value text)
        WHERE NOT cpu_fulfils(properties, condition.key, condition.op, condition.value)
    );

-- Sums of overlapping events are made again, as far back as all messages for them are there.
INSERT INTO cpu_dirty (session, since)
SELECT cpu_session.session, greatest(overlapping.since, kept.since)
FROM (SELECT session_id, min(bucket) AS since, max(bucket) AS until FROM session_cpu WHERE layer > 0 GROUP BY session_id) AS overlapping
JOIN cpu_session ON cpu_session.id = overlapping.session_id
CROSS JOIN (SELECT cpu_bucket(min(time)) + INTERVAL '24 hours 10 minutes' AS since FROM session_message) AS kept
WHERE overlapping.until >= kept.since;
