-- What the built-in page reads. Named queries; `%(name)s` are parameters.

-- name: overview
-- Sums of the windows that GET /stats would give, in several cuts at once, each with its rows marked by `cut`:
--   time      by steps of time
--   part      the same, of the `parts` customers (contents, where `by_content`) with the most sessions, and (name null) of all others together
--   customer  the `top` customers with the most bytes, and (null) all others; `names` is how many that are
--   content   the `top` contents with the most bytes, and (null, null) all others
-- stats_5m is read twice, for sums by step and part and for sums by content, each of few groups, so that both are hashed; grouping sets, or
-- sums by step and content, were sorted on disk, which took two to five times as long. All else is made of these two. A step begins at a
-- round time; weeks begin on Mondays.
WITH chosen AS NOT MATERIALIZED (
    SELECT date_bin(%(step)s::interval, bucket, TIMESTAMPTZ '2000-01-03 00:00:00Z') AS at,
           CASE WHEN %(by_content)s::boolean THEN content ELSE customer END AS name,
           customer, content, cdn, p2p, sessions
    FROM stats_5m
    WHERE bucket > %(from)s::timestamptz - INTERVAL '5 minutes'
      AND bucket <= %(to)s::timestamptz - INTERVAL '5 minutes'
      AND (%(customer)s::text IS NULL OR customer = %(customer)s::text)
      AND (%(content)s::text IS NULL OR content = %(content)s::text)
), by_time AS MATERIALIZED (
    SELECT at, name, sum(cdn) AS cdn, sum(p2p) AS p2p, sum(sessions)::bigint AS sessions, count(*) AS windows
    FROM chosen
    GROUP BY at, name
), by_content AS MATERIALIZED (
    SELECT customer, content, sum(cdn) AS cdn, sum(p2p) AS p2p, sum(sessions)::bigint AS sessions, count(*) AS windows
    FROM chosen
    GROUP BY customer, content
), part_place AS (
    SELECT name, row_number() OVER (ORDER BY sum(sessions) DESC, sum(cdn) + sum(p2p) DESC, name COLLATE "C") AS place
    FROM by_time
    GROUP BY name
), part AS (
    SELECT at, CASE WHEN place <= %(parts)s THEN name END AS name, least(place, %(parts)s::integer + 1) AS place,
           cdn, p2p, sessions, windows
    FROM by_time JOIN part_place USING (name)
), content_sum AS (
    SELECT customer, content, cdn, p2p, sessions, windows,
           row_number() OVER (ORDER BY cdn + p2p DESC, sessions DESC, customer COLLATE "C", content COLLATE "C") AS place
    FROM by_content
), customer_sum AS (
    SELECT customer, sum(cdn) AS cdn, sum(p2p) AS p2p, sum(sessions)::bigint AS sessions, sum(windows)::bigint AS windows,
           row_number() OVER (ORDER BY sum(cdn) + sum(p2p) DESC, sum(sessions) DESC, customer COLLATE "C") AS place
    FROM by_content
    GROUP BY customer
)
SELECT 'time' AS cut, at, NULL AS customer, NULL AS content, sum(cdn)::text AS cdn, sum(p2p)::text AS p2p, sum(sessions)::bigint AS sessions,
       sum(windows)::bigint AS windows, 0 AS names, extract(epoch FROM at)::bigint AS place
FROM by_time
GROUP BY at
UNION ALL
SELECT 'part', at, name, NULL, sum(cdn)::text, sum(p2p)::text, sum(sessions)::bigint, sum(windows)::bigint, 0, place
FROM part
GROUP BY at, name, place
UNION ALL
SELECT 'customer', NULL, CASE WHEN place <= %(top)s THEN customer END, NULL, sum(cdn)::text, sum(p2p)::text, sum(sessions)::bigint,
       sum(windows)::bigint, count(*), min(place)
FROM customer_sum
GROUP BY CASE WHEN place <= %(top)s THEN place END, CASE WHEN place <= %(top)s THEN customer END
UNION ALL
SELECT 'content', NULL, CASE WHEN place <= %(top)s THEN customer END, CASE WHEN place <= %(top)s THEN content END, sum(cdn)::text,
       sum(p2p)::text, sum(sessions)::bigint, sum(windows)::bigint, count(*), min(place)
FROM content_sum
GROUP BY CASE WHEN place <= %(top)s THEN place END, CASE WHEN place <= %(top)s THEN customer END, CASE WHEN place <= %(top)s THEN content END
ORDER BY cut, place, at;

-- name: anything_stored
-- Whether anything was ever stored: the page of an empty collector says how to send.
SELECT EXISTS (SELECT FROM payload)
    OR EXISTS (SELECT FROM stats_5m)
    OR EXISTS (SELECT FROM session_message)
    OR EXISTS (SELECT FROM analytics_hour);

-- name: schema_engine
-- Which kind of schema this is: 'timescaledb' or 'plain'.
SELECT engine FROM collector_schema ORDER BY version LIMIT 1;

-- name: stats_computed_until
-- TimescaleDB: the moment up to which stats_5m is computed ahead, null while nothing is; windows after it are added up when they are read.
SELECT CASE WHEN until > TIMESTAMPTZ 'epoch' THEN until END
FROM (
    SELECT _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(mat_hypertable_id)) AS until
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_schema = current_schema() AND user_view_name = 'stats_5m'
) AS watermark;
