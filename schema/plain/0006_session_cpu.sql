-- Any PostgreSQL without community TimescaleDB: session_cpu_15m as a view.

-- For its bucket: a condition on that becomes one on this expression.
CREATE INDEX session_message_bucket ON session_message
    USING brin (date_bin('15 minutes', time, TIMESTAMPTZ '2000-01-01 00:00:00Z'));

-- What was measured of each session, by quarters of an hour of the messages' time; bucket is the quarter's BEGIN. `version` is 'unknown' where no
-- message told it.
--   bucket                session  version  samples  total    highest
--   2026-01-01 12:15:00Z  b5f2…    6.04     450      9900.0   97.5
CREATE VIEW session_cpu_15m AS
SELECT date_bin('15 minutes', time, TIMESTAMPTZ '2000-01-01 00:00:00Z') AS bucket,
       session,
       coalesce(max(version), 'unknown')                                AS version,
       count(cpu)                                                       AS samples,
       coalesce(sum(cpu), 0)                                            AS total,
       coalesce(max(cpu), 0)                                            AS highest
FROM session_message
GROUP BY 1, 2;
