-- Clicks and impressions of /analytics, and what is read of them. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: count_hits
-- Hours come sorted, and so do the users of each that may be new to it; with `hour` as the number of hours since 1970. All users come before
-- the counters, because how many of them are new is added to these: so every transaction locks in the same order.
WITH given AS MATERIALIZED (
    SELECT TIMESTAMPTZ 'epoch' + hour * INTERVAL '1 hour' AS hour, users, clicks, impressions
    FROM json_to_recordset(%(hours)s::json) AS given (hour bigint, users json, clicks bigint, impressions bigint)
), joined AS (
    INSERT INTO analytics_user (hour, "user")
    SELECT hour, json_array_elements_text(users) FROM given
    ON CONFLICT (hour, "user") DO NOTHING
    RETURNING hour
), unique_users AS (
    SELECT hour, count(*) AS unique_users FROM joined GROUP BY hour
)
INSERT INTO analytics_hour AS counted (hour, shard, unique_users, clicks, impressions)
SELECT hour, %(shard)s, coalesce(unique_users, 0), clicks, impressions
FROM given LEFT JOIN unique_users USING (hour)
ORDER BY hour
ON CONFLICT (hour, shard) DO UPDATE
SET unique_users = counted.unique_users + excluded.unique_users,
    clicks       = counted.clicks + excluded.clicks,
    impressions  = counted.impressions + excluded.impressions;

-- name: write_hit_singles
-- A small batch of single hits as one statement, which is a transaction of its own: the writer's progress, keys, users, counters and rows.
-- Comes back: whether the writer still owns its row (if not, nothing is written), and which keys are new; hits of the other keys are left
-- out. Element n of each list belongs to hit n; a candidate may be a user who is new to the hour.
WITH advanced AS (
    UPDATE progress SET position = %(position)s, updated_at = now()
    WHERE source = %(source)s AND owner = %(writer_owner)s
    RETURNING 1
), single AS (
    SELECT TIMESTAMPTZ 'epoch' + timestamp_ms / 3600000 * INTERVAL '1 hour' AS hour,
           -- Whole seconds apart, because an interval is multiplied as a double, which has no milliseconds so far from 1970.
           TIMESTAMPTZ 'epoch' + timestamp_ms / 1000 * INTERVAL '1 second'
               + timestamp_ms %% 1000 * INTERVAL '1 millisecond'            AS time,
           "user" COLLATE "C" AS "user", kind, received_ms, candidate, claim, digest
    FROM ROWS FROM (
        json_to_recordset(%(rows)s::json) AS ("timestamp" bigint, "user" text, kind text),
        json_array_elements_text(%(received)s::json),
        json_array_elements_text(%(candidates)s::json),
        json_array_elements_text(%(claims)s::json),
        json_array_elements_text(%(digests)s::json)
    ) AS single (timestamp_ms, "user", kind, received_ms, candidate, claim, digest)
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
), joined AS (
    INSERT INTO analytics_user (hour, "user")
    SELECT DISTINCT hour, "user" FROM kept WHERE candidate::boolean ORDER BY hour, "user"
    ON CONFLICT (hour, "user") DO NOTHING
    RETURNING hour
), unique_users AS (
    SELECT hour, count(*) AS unique_users FROM joined GROUP BY hour
), hits AS (
    SELECT hour,
           count(*) FILTER (WHERE kind = 'click')      AS clicks,
           count(*) FILTER (WHERE kind = 'impression') AS impressions
    FROM kept
    GROUP BY hour
), counted AS (
    INSERT INTO analytics_hour AS counted (hour, shard, unique_users, clicks, impressions)
    SELECT hour, %(shard)s, coalesce(unique_users, 0), clicks, impressions
    FROM hits LEFT JOIN unique_users USING (hour)
    ORDER BY hour
    ON CONFLICT (hour, shard) DO UPDATE
    SET unique_users = counted.unique_users + excluded.unique_users,
        clicks       = counted.clicks + excluded.clicks,
        impressions  = counted.impressions + excluded.impressions
), written AS (
    INSERT INTO hit (received_at, time, "user", kind)
    SELECT TIMESTAMPTZ 'epoch' + received_ms::bigint * INTERVAL '1 millisecond', time, "user", kind FROM kept
)
SELECT (SELECT count(*) = 1 FROM advanced), (SELECT coalesce(json_agg(source), '[]') FROM claimed);

-- name: analytics_hours
-- What some hours have, each given as the number of hours since 1970. Only shards are read, never users.
SELECT hour, unique_users, clicks, impressions
FROM json_array_elements_text(%(hours)s::json) AS given (number)
CROSS JOIN LATERAL (
    SELECT number::bigint             AS hour,
           sum(unique_users)::bigint  AS unique_users,
           sum(clicks)::bigint        AS clicks,
           sum(impressions)::bigint   AS impressions
    FROM analytics_hour
    WHERE analytics_hour.hour = TIMESTAMPTZ 'epoch' + number::bigint * INTERVAL '1 hour'
) AS counted
WHERE unique_users IS NOT NULL;

-- name: analytics_range
-- Hours in their order: those of which a part is after `from` and before `to`.
SELECT hour, unique_users, clicks, impressions
FROM analytics
WHERE (%(from)s::timestamptz IS NULL OR hour > %(from)s::timestamptz - INTERVAL '1 hour')
  AND (%(to)s::timestamptz IS NULL OR hour < %(to)s::timestamptz)
ORDER BY hour
LIMIT %(limit)s;
