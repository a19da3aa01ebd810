-- session_cpu_15m as a continuous aggregate.

-- What was measured of each session, by quarters of an hour of the messages' time; bucket is the quarter's BEGIN. `version` is 'unknown' where no
-- message told it.
--   bucket                session  version  samples  total    highest
--   2026-01-01 12:15:00Z  b5f2…    6.04     450      9900.0   97.5
CREATE MATERIALIZED VIEW session_cpu_15m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('15 minutes', time)    AS bucket,
       session,
       coalesce(max(version), 'unknown')  AS version,
       count(cpu)                         AS samples,
       coalesce(sum(cpu), 0)              AS total,
       coalesce(max(cpu), 0)              AS highest
FROM session_message
GROUP BY 1, 2
WITH NO DATA;

-- The quarter that goes on is in it, too, as of a minute ago: to compute it at every read would read all of its messages. Logs come days later;
-- only what changed is computed again, so a long start costs nothing. It stays inside retention: a refresh over dropped rows would wipe their
-- aggregate.
SELECT add_continuous_aggregate_policy('session_cpu_15m',
    start_offset => INTERVAL '28 days', end_offset => NULL, schedule_interval => INTERVAL '1 minute');
