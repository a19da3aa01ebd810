-- CPU of sessions: what keeps session_cpu up to date, and what the report reads. Named queries; `%(name)s` are parameters.

-- name: one_refresh
-- One process at a time.
SELECT pg_advisory_xact_lock(7236401845520119);

-- name: take_dirty_sessions
-- What has been noted since the last refresh, into the sessions' own rows.
WITH taken AS (
    DELETE FROM cpu_dirty RETURNING session, since
), grouped AS (
    SELECT session, min(since) AS since FROM taken GROUP BY session
)
INSERT INTO cpu_session AS known (session, dirty_since)
SELECT session, since FROM grouped
ON CONFLICT (session) DO UPDATE SET dirty_since = least(known.dirty_since, excluded.dirty_since);

-- name: choose_dirty_sessions
-- Some sessions, by their ids, and the least time that has to be read for them, a day of events before it in case.
SELECT array_agg(id), min(reads), min(begins)
FROM (
    SELECT id,
           CASE WHEN dirty_since >= open_bucket THEN open_bucket ELSE cpu_bucket(dirty_since) END AS begins,
           CASE WHEN dirty_since >= open_bucket THEN open_bucket ELSE cpu_bucket(dirty_since) - INTERVAL '24 hours' END AS reads
    FROM cpu_session
    WHERE dirty_since IS NOT NULL
    ORDER BY dirty_since
    LIMIT %(limit)s
) AS chosen;

-- name: outdate_sessions
-- Takes out what `refresh_sessions` makes again.
WITH chosen AS MATERIALIZED (
    SELECT id, CASE WHEN dirty_since >= open_bucket THEN open_bucket ELSE cpu_bucket(dirty_since) END AS begins
    FROM cpu_session
    WHERE id = ANY (%(ids)s::bigint[])
), facts AS (
    DELETE FROM session_fact USING chosen WHERE session_fact.session_id = chosen.id AND session_fact.bucket >= begins
)
DELETE FROM session_cpu
USING chosen
WHERE session_cpu.session_id = chosen.id AND session_cpu.bucket >= begins AND session_cpu.bucket >= %(begins)s::timestamptz;

-- name: gather_messages
-- The messages that `refresh_sessions` works on, in a table of this transaction: how they are found is left to the planner, for a few sessions by the
-- index and for many by their time.
CREATE TEMPORARY TABLE gathered ON COMMIT DROP AS
SELECT chosen.id, chosen.begins, stored.time, coalesce(stored.seq, -1) AS seq, stored.version, stored.cpu, stored.event, stored.phase,
       CASE WHEN pg_column_size(stored.properties) > 1000 THEN cpu_scalars(stored.properties) ELSE stored.properties END AS properties
FROM (
    SELECT id, session,
           CASE WHEN dirty_since >= open_bucket THEN open_bucket ELSE cpu_bucket(dirty_since) END AS begins,
           CASE WHEN dirty_since >= open_bucket THEN open_bucket ELSE cpu_bucket(dirty_since) - INTERVAL '24 hours' END AS reads
    FROM cpu_session
    WHERE id = ANY (%(ids)s::bigint[])
) AS chosen
JOIN session_message AS stored ON stored.session = chosen.session
WHERE stored.time >= %(reads)s::timestamptz
  AND stored.time >= chosen.reads
  AND (stored.time >= chosen.begins OR stored.event IS NOT NULL);

-- name: name_events
-- Short names for events that have none yet.
INSERT INTO cpu_event (event)
SELECT DISTINCT event FROM gathered
WHERE event IS NOT NULL
  AND event NOT IN (SELECT event FROM cpu_event)
ORDER BY event
LIMIT (SELECT greatest(0, 10000 - count(*)) FROM cpu_event);

-- name: refresh_sessions
-- Makes the rows of these sessions again, from the bucket that changed first. What was in force at a sample:
--   an event with phase begin, until its end: the end closes the begin of the same event that was opened last and is open; 24 hours at most
--   an event without phase, until the session's next event; 60 seconds at most
-- In which order things of the same time were: by seq, a begin before what else there is.
WITH chosen AS MATERIALIZED (
    SELECT id, dirty_since, carried, open_events,
           CASE WHEN carried THEN open_bucket ELSE cpu_bucket(dirty_since) END AS begins
    FROM (
        SELECT *, coalesce(dirty_since >= open_bucket, false) AS carried
        FROM cpu_session
        WHERE id = ANY (%(ids)s::bigint[])
    ) AS known
), occurred AS (
    SELECT id, time, seq, event, phase, properties
    FROM gathered
    WHERE event IS NOT NULL
    UNION ALL
    SELECT chosen.id, open.time, open.seq, open.event, open.phase, open.properties
    FROM chosen
    CROSS JOIN LATERAL jsonb_to_recordset(open_events) AS open (time timestamptz, seq bigint, event text, phase text, properties jsonb)
    WHERE carried
), placed AS (
    SELECT *,
           row_number() OVER in_session AS place,
           lead(time) OVER in_session AS next_time
    FROM occurred
    WINDOW in_session AS (
        PARTITION BY id ORDER BY time, seq, phase = 'begin' DESC NULLS LAST, phase, event, properties
    )
), balanced AS (
    SELECT *, sum(CASE phase WHEN 'begin' THEN 1 WHEN 'end' THEN -1 ELSE 0 END)
                  OVER (PARTITION BY id, event ORDER BY place ROWS UNBOUNDED PRECEDING) AS balance
    FROM placed
), nested AS (
    -- An end without a begin leaves the number of open ones at 0. Of each level, begins and ends alternate.
    SELECT *, balance - least(0, min(balance) OVER (PARTITION BY id, event ORDER BY place ROWS UNBOUNDED PRECEDING))
              + CASE phase WHEN 'end' THEN 1 ELSE 0 END AS level
    FROM balanced
), paired AS (
    SELECT *,
           lead(time) OVER of_level AS end_time,
           lead(properties) OVER of_level AS end_properties
    FROM nested
    WINDOW of_level AS (PARTITION BY id, event, level, phase IS NULL ORDER BY place)
), lasting AS MATERIALIZED (
    -- The sample of the very moment of the end is within.
    SELECT id, event, place, phase, time AS since, seq, properties AS begun_with,
           CASE WHEN phase = 'begin' AND end_properties IS NOT NULL AND end_time < time + INTERVAL '24 hours'
                THEN coalesce(properties, '{}') || end_properties ELSE properties END AS properties,
           CASE WHEN phase IS NULL THEN least(next_time, time + INTERVAL '60 seconds')
                ELSE least(end_time + INTERVAL '1 microsecond', time + INTERVAL '24 hours') END AS until,
           CASE WHEN phase = 'begin' AND end_properties IS NOT NULL AND end_time < time + INTERVAL '24 hours'
                THEN end_time END AS late_words_at
    FROM paired
    WHERE phase IS DISTINCT FROM 'end'
), covered AS (
    SELECT *,
           max(until) OVER (PARTITION BY id ORDER BY since, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS nested_until,
           max(until) OVER (PARTITION BY id, event ORDER BY since, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
               AS again_until,
           max(until) OVER (PARTITION BY id, event, properties ORDER BY since, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
               AS repeated_until,
           lead(since) OVER (PARTITION BY id ORDER BY since, place) AS next_since
    FROM lasting
), sample AS (
    SELECT id, cpu_bucket(time) AS bucket, time, cpu
    FROM gathered
    WHERE cpu IS NOT NULL AND time >= begins
), last AS MATERIALIZED (
    SELECT id, cpu_bucket(max(time)) AS bucket
    FROM gathered
    WHERE time >= begins
    GROUP BY id
), spread AS (
    -- By bucket, so that samples find what was in force by an equality.
    SELECT covered.*, each.bucket
    FROM covered
    JOIN chosen USING (id)
    JOIN last USING (id)
    CROSS JOIN LATERAL generate_series(
        greatest(cpu_bucket(since), begins), least(until, last.bucket), INTERVAL '5 minutes') AS each (bucket)
), made AS (
    -- What says the very same as one that has been in force for longer adds nothing.
    SELECT sample.bucket, sample.id, sample.time, sample.cpu, spread.event, spread.properties,
           coalesce(since < nested_until OR next_since < until, false) AS shared,
           CASE WHEN spread.event IS NULL THEN 0 ELSE coalesce(cpu_event.id, -1) END AS event_id,
           CASE WHEN sample.time < again_until THEN 2 WHEN sample.time < nested_until THEN 1 ELSE 0 END AS layer
    FROM sample
    LEFT JOIN spread ON spread.id = sample.id AND spread.bucket = sample.bucket AND sample.time >= since AND sample.time < until
                        AND (repeated_until IS NULL OR sample.time >= repeated_until)
    LEFT JOIN cpu_event USING (event)
), several AS (
    -- Moments at which several events were in force; of more than 16 each is for itself, for there would be a row of each by moment.
    SELECT id, time, hash_array_extended(array_agg(DISTINCT word), 0) AS together
    FROM (
        SELECT id, time, hashtextextended(event, jsonb_hash_extended(coalesce(properties, 'null'), layer)) AS word
        FROM made
        WHERE shared
    ) AS said
    GROUP BY id, time
    HAVING count(DISTINCT word) BETWEEN 2 AND 16
), renewed AS (
    INSERT INTO session_cpu (bucket, session_id, event_id, layer, together, samples, cpu_max, cpu_sum, cpu, properties)
    SELECT bucket, id, event_id, layer, together, count(*), max(cpu), sum(cpu), array_agg(cpu ORDER BY cpu), properties
    FROM made
    LEFT JOIN several USING (id, time)
    GROUP BY bucket, id, event_id, layer, together, properties
), versions AS MATERIALIZED (
    SELECT id, cpu_bucket(time) AS bucket, min(version) AS version, max(version) AS other
    FROM gathered
    WHERE version IS NOT NULL AND time >= begins
    GROUP BY id, cpu_bucket(time)
), last_version AS (
    -- Nearly always there is one; else the last.
    SELECT DISTINCT ON (id, bucket) id, bucket, gathered.version
    FROM gathered
    JOIN versions USING (id)
    WHERE versions.version <> other AND gathered.version IS NOT NULL AND cpu_bucket(time) = bucket
    ORDER BY id, bucket, time DESC, seq DESC, gathered.version
), said_version AS (
    SELECT id, bucket, coalesce(last_version.version, versions.version) AS version
    FROM versions
    LEFT JOIN last_version USING (id, bucket)
), said_properties AS (
    SELECT id, cpu_bucket(time) AS bucket, cpu_merge(properties ORDER BY time, seq, properties) AS properties
    FROM gathered
    WHERE event IS NULL AND properties IS NOT NULL AND time >= begins
    GROUP BY id, cpu_bucket(time)
), said AS (
    SELECT id, bucket, version, properties, true AS new
    FROM said_version
    FULL JOIN said_properties USING (id, bucket)
    UNION ALL
    SELECT chosen.id, '-infinity', before.version, before.properties, false
    FROM chosen
    CROSS JOIN LATERAL (
        SELECT version, properties
        FROM session_fact
        WHERE session_id = chosen.id AND session_fact.bucket < chosen.begins
        ORDER BY session_fact.bucket DESC
        LIMIT 1
    ) AS before
), known AS (
    SELECT id, bucket, new,
           cpu_merge(CASE WHEN version IS NULL THEN '{}' ELSE jsonb_build_object('version', version) END) OVER in_order
               ->> 'version' AS version,
           cpu_merge(coalesce(properties, '{}')) OVER in_order AS properties
    FROM said
    WINDOW in_order AS (PARTITION BY id ORDER BY bucket ROWS UNBOUNDED PRECEDING)
), changed AS (
    SELECT *, lag(version) OVER in_order AS version_before, lag(properties) OVER in_order AS properties_before
    FROM known
    WINDOW in_order AS (PARTITION BY id ORDER BY bucket)
), renewed_facts AS (
    INSERT INTO session_fact (session_id, bucket, version, properties)
    SELECT id, bucket, version, properties
    FROM changed
    WHERE new AND (version, properties) IS DISTINCT FROM (version_before, properties_before)
), left_open AS (
    SELECT id,
           jsonb_agg(jsonb_build_object('time', since, 'seq', seq, 'event', event, 'phase', phase, 'properties', begun_with))
               AS events
    FROM lasting
    JOIN last USING (id)
    WHERE since < last.bucket AND until > last.bucket
    GROUP BY id
), late_words AS (
    -- What an end said holds for the time since the begin, too: where that was before what is made again here, from there on, the next time.
    SELECT id, min(since) AS since
    FROM lasting
    JOIN chosen USING (id)
    WHERE late_words_at >= dirty_since AND since < begins AND until > begins
    GROUP BY id
)
UPDATE cpu_session
SET dirty_since = late_words.since, open_bucket = last.bucket, open_events = left_open.events
FROM chosen
LEFT JOIN last USING (id)
LEFT JOIN left_open USING (id)
LEFT JOIN late_words USING (id)
WHERE cpu_session.id = chosen.id;

-- name: dirty_sessions
-- How many sessions have to be made again yet.
SELECT count(*) FROM cpu_session WHERE dirty_since IS NOT NULL;

-- name: one_report
-- One process at a time: a second one would only make both slow.
SELECT pg_advisory_xact_lock(7236401845520120);

-- name: cpu_parts
-- A window's samples by session, event and layer. Columns as arrays, for that is how they are worked on. over: how many samples were over each of
-- three thresholds; pieces: how many rows they were in. Of events those 200 that most hot sessions had; the others together are -1.
WITH part AS MATERIALIZED (
    SELECT session_id, event_id, layer,
           sum(samples) AS samples, sum(cpu_sum) AS total, max(cpu_max) AS highest, count(*) AS pieces,
           sum(samples - width_bucket(%(over_1)s::float, cpu)) FILTER (WHERE cpu_max > %(over_1)s::float) AS over_1,
           sum(samples - width_bucket(%(over_2)s::float, cpu)) FILTER (WHERE cpu_max > %(over_2)s::float) AS over_2,
           sum(samples - width_bucket(%(over_3)s::float, cpu)) FILTER (WHERE cpu_max > %(over_3)s::float) AS over_3
    FROM session_cpu
    WHERE bucket >= %(from)s::timestamptz AND bucket < %(to)s::timestamptz
    GROUP BY session_id, event_id, layer
), frequent AS MATERIALIZED (
    SELECT event_id
    FROM part
    WHERE event_id > 0 AND layer < 2
    GROUP BY event_id
    ORDER BY count(over_1) DESC, count(*) DESC, event_id
    LIMIT 200
), named AS (
    SELECT session_id, CASE WHEN event_id > 0 AND frequent.event_id IS NULL THEN -1 ELSE part.event_id END AS event_id, layer,
           sum(samples)::bigint AS samples, sum(total) AS total, max(highest) AS highest, sum(pieces)::bigint AS pieces,
           coalesce(sum(over_1), 0)::bigint AS over_1, coalesce(sum(over_2), 0)::bigint AS over_2, coalesce(sum(over_3), 0)::bigint AS over_3
    FROM part
    LEFT JOIN frequent USING (event_id)
    GROUP BY session_id, 2, layer
)
SELECT array_agg(session_id), array_agg(event_id), array_agg(layer), array_agg(samples), array_agg(total), array_agg(highest),
       array_agg(pieces), array_agg(over_1), array_agg(over_2), array_agg(over_3)
FROM named;

-- name: cpu_events
-- Names of events.
SELECT id, event FROM cpu_event WHERE id = ANY (%(ids)s::integer[]);

-- name: cpu_facts
-- What sessions said of themselves before the end of the window.
SELECT session_id, version, properties::text
FROM unnest(%(ids)s::bigint[]) AS wanted (session_id)
CROSS JOIN LATERAL (
    SELECT version, properties
    FROM session_fact
    WHERE session_fact.session_id = wanted.session_id AND bucket < %(to)s::timestamptz
    ORDER BY bucket DESC
    LIMIT 1
) AS fact;

-- name: cpu_spans
-- A window's samples of sessions (null: all) by event, by what it said, and by what else was in force.
SELECT session_id, event_id, properties::text, together, sum(samples), sum(cpu_sum), max(cpu_max),
       coalesce(sum(samples - width_bucket(%(over_1)s::float, cpu)) FILTER (WHERE cpu_max > %(over_1)s::float), 0),
       coalesce(sum(samples - width_bucket(%(over_2)s::float, cpu)) FILTER (WHERE cpu_max > %(over_2)s::float), 0),
       coalesce(sum(samples - width_bucket(%(over_3)s::float, cpu)) FILTER (WHERE cpu_max > %(over_3)s::float), 0)
FROM session_cpu
WHERE bucket >= %(from)s::timestamptz AND bucket < %(to)s::timestamptz
  AND event_id <> 0
  AND (%(ids)s::bigint[] IS NULL OR session_id = ANY (%(ids)s::bigint[]))
GROUP BY session_id, event_id, properties, together;

-- name: cpu_moments
-- Of sessions that a report lists: their names, and the moment of a sample that was the highest, while conditions were fulfilled (`cpu_tells`) or ever
-- in the window: the first moment, and all (100 at most) of that bucket at which there was such a sample, with the bucket. Without session_message,
-- which is kept for less long, the moment is the bucket's begin.
SELECT sought.number, cpu_session.session, coalesce(moment.times[1], hot.bucket, %(from)s::timestamptz), moment.times, hot.bucket
FROM json_to_recordset(%(sought)s::json) AS sought (number integer, session bigint, event integer, cpu double precision, told jsonb)
JOIN cpu_session ON cpu_session.id = sought.session
LEFT JOIN LATERAL (
    SELECT bucket
    FROM session_cpu
    WHERE session_id = sought.session AND bucket >= %(from)s::timestamptz AND bucket < %(to)s::timestamptz
      AND cpu_max = sought.cpu AND cpu_tells(event_id, properties, sought.event, sought.told)
    ORDER BY bucket
    LIMIT 1
) AS hot ON true
LEFT JOIN LATERAL (
    SELECT array_agg(time ORDER BY time) AS times
    FROM (
        SELECT time
        FROM session_message
        WHERE session_message.session = cpu_session.session AND session_message.cpu = sought.cpu
          AND time >= hot.bucket AND time < hot.bucket + INTERVAL '5 minutes'
          AND time >= %(from)s::timestamptz AND time < %(to)s::timestamptz
        ORDER BY time
        LIMIT 100
    ) AS found
) AS moment ON true;

-- name: cpu_p95
-- The 95th percentile of sessions' samples while conditions were fulfilled, or of all in the window; each sample once.
SELECT sought.number, p95.cpu
FROM json_to_recordset(%(sought)s::json) AS sought (number integer, session bigint, event integer, told jsonb)
CROSS JOIN LATERAL (
    SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY sample) AS cpu
    FROM (
        SELECT DISTINCT ON (bucket, together, place) cpu
        FROM (
            SELECT bucket, together, cpu, CASE WHEN together IS NULL THEN row_number() OVER () END AS place
            FROM session_cpu
            WHERE session_id = sought.session AND bucket >= %(from)s::timestamptz AND bucket < %(to)s::timestamptz
              AND cpu_tells(event_id, properties, sought.event, sought.told)
              AND CASE
                      WHEN sought.told <> '[]' THEN true
                      WHEN sought.event IS NULL THEN layer = 0
                      ELSE layer < 2
                  END
        ) AS fulfilling
    ) AS once
    CROSS JOIN unnest(once.cpu) AS sample
) AS p95
WHERE p95.cpu IS NOT NULL;

-- name: cpu_inside
-- A window's samples by session, each once, of those rows that fulfil conditions: an event (null: any), and up to four on what the event said (a key
-- that is null: none), which also hold in the sessions `own`. Rows that are the same samples have the same sums. Columns as arrays, as of cpu_parts.
WITH apart AS (
    SELECT session_id, max(cpu_max) AS highest, CASE WHEN together IS NULL THEN 1 ELSE count(*) END AS times,
           sum(samples) AS samples, sum(cpu_sum) AS total,
           sum(samples - width_bucket(%(over_1)s::float, cpu)) FILTER (WHERE cpu_max > %(over_1)s::float) AS over_1,
           sum(samples - width_bucket(%(over_2)s::float, cpu)) FILTER (WHERE cpu_max > %(over_2)s::float) AS over_2,
           sum(samples - width_bucket(%(over_3)s::float, cpu)) FILTER (WHERE cpu_max > %(over_3)s::float) AS over_3
    FROM session_cpu
    WHERE bucket >= %(from)s::timestamptz AND bucket < %(to)s::timestamptz
      AND (%(event)s::integer IS NULL OR event_id = %(event)s::integer)
      AND (session_id = ANY (%(own_1)s::bigint[]) OR cpu_fulfils(properties, %(key_1)s::text, %(op_1)s::text, %(value_1)s::text))
      AND (session_id = ANY (%(own_2)s::bigint[]) OR cpu_fulfils(properties, %(key_2)s::text, %(op_2)s::text, %(value_2)s::text))
      AND (session_id = ANY (%(own_3)s::bigint[]) OR cpu_fulfils(properties, %(key_3)s::text, %(op_3)s::text, %(value_3)s::text))
      AND (session_id = ANY (%(own_4)s::bigint[]) OR cpu_fulfils(properties, %(key_4)s::text, %(op_4)s::text, %(value_4)s::text))
    GROUP BY session_id, together, CASE WHEN together IS NOT NULL THEN bucket END
), inside AS (
    SELECT session_id, sum(samples / times)::bigint AS samples, sum(total / times) AS total, max(highest) AS highest,
           sum(coalesce(over_1, 0) / times)::bigint AS over_1,
           sum(coalesce(over_2, 0) / times)::bigint AS over_2,
           sum(coalesce(over_3, 0) / times)::bigint AS over_3
    FROM apart
    GROUP BY session_id
)
SELECT array_agg(session_id), array_agg(samples), array_agg(total), array_agg(highest),
       array_agg(over_1), array_agg(over_2), array_agg(over_3)
FROM inside;
