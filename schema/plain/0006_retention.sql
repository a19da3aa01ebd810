-- Any PostgreSQL without community TimescaleDB: what payloads came to that are not kept any more.

-- Windows as stats_5m has them, of payloads that housekeeping has deleted: it adds them here in the statement that deletes them.
--   bucket                customer  content  cdn      p2p     sessions
--   2026-01-01 12:00:00Z  acme      film-7   4500000  120000  1
CREATE TABLE stats_5m_kept (
    bucket   timestamptz NOT NULL,
    customer text        NOT NULL,
    content  text        NOT NULL,
    cdn      numeric     NOT NULL,
    p2p      numeric     NOT NULL,
    sessions bigint      NOT NULL,
    CONSTRAINT stats_5m_kept_once PRIMARY KEY (bucket, customer, content)
);

-- The same rows as before, whether their payloads are still there or not. A condition on bucket, customer or content goes down to both parts.
CREATE OR REPLACE VIEW stats_5m AS
SELECT bucket, customer, content, sum(cdn) AS cdn, sum(p2p) AS p2p, sum(sessions)::bigint AS sessions
FROM (
    SELECT date_bin('5 minutes', received_at, TIMESTAMPTZ '2000-01-01 00:00:00Z') AS bucket,
           customer,
           content,
           sum(cdn)                                                               AS cdn,
           sum(p2p)                                                               AS p2p,
           count(*) FILTER (WHERE started)                                        AS sessions
    FROM payload
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT bucket, customer, content, cdn, p2p, sessions FROM stats_5m_kept
) AS part
GROUP BY 1, 2, 3;
