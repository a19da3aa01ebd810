-- TimescaleDB, community licence: payload as a hypertable, stats_5m as a continuous aggregate. Their policies are made from the
-- settings (collector/database/retention.py).

SELECT create_hypertable('payload', by_range('received_at', INTERVAL '6 hours'), create_default_indexes => false);
CREATE INDEX payload_received_at ON payload USING brin (received_at);

-- bytes and started sessions by the 5-minute window of reception; bucket is the window's BEGIN.
--   bucket                customer  content  cdn      p2p     sessions
--   2026-01-01 12:00:00Z  acme      film-7   4500000  120000  1
CREATE MATERIALIZED VIEW stats_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('5 minutes', received_at)  AS bucket,
       customer,
       content,
       sum(cdn)                               AS cdn,
       sum(p2p)                               AS p2p,
       count(*) FILTER (WHERE started)        AS sessions
FROM payload
GROUP BY 1, 2, 3
WITH NO DATA;

-- Ordered by token the columns of one session lie together; measured smaller than any segmentby.
ALTER TABLE payload SET (timescaledb.enable_columnstore, timescaledb.segmentby = '', timescaledb.orderby = 'token, received_at');
