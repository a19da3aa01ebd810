-- Any PostgreSQL without community TimescaleDB: the same names, as ordinary table and view.

CREATE INDEX payload_received_at ON payload USING brin (received_at);
-- For stats_5m: a condition on its bucket becomes one on this expression.
CREATE INDEX payload_bucket ON payload USING brin (date_bin('5 minutes', received_at, TIMESTAMPTZ '2000-01-01 00:00:00Z'));

-- bytes and started sessions by the 5-minute window of reception; bucket is the window's BEGIN.
--   bucket                customer  content  cdn      p2p     sessions
--   2026-01-01 12:00:00Z  acme      film-7   4500000  120000  1
CREATE VIEW stats_5m AS
SELECT date_bin('5 minutes', received_at, TIMESTAMPTZ '2000-01-01 00:00:00Z') AS bucket,
       customer,
       content,
       sum(cdn)                                                               AS cdn,
       sum(p2p)                                                               AS p2p,
       count(*) FILTER (WHERE started)                                        AS sessions
FROM payload
GROUP BY 1, 2, 3;
