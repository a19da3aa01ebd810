-- Clicks and impressions. Names and columns are the contract; see docs/data-model.md.

-- One row an event of /analytics. Append-ordered by received_at, so a BRIN index serves; `time` is what the client says, and may be of any year.
--   received_at             time                   user     kind
--   2026-01-01 12:00:00.1Z  2026-01-01 11:59:59Z   alice    click
CREATE TABLE hit (
    received_at timestamptz NOT NULL,
    time        timestamptz NOT NULL,
    "user"      text        NOT NULL,
    kind        text        NOT NULL,
    CONSTRAINT hit_kind CHECK (kind IN ('click', 'impression'))
);

-- Users of an hour, each once: what makes unique users exact. Kept for ever, as the counters are, so that an old hour can be added to.
-- The C collation sorts as the collector does, so that two writers lock in the same order.
CREATE TABLE analytics_user (
    hour   timestamptz      NOT NULL,
    "user" text COLLATE "C" NOT NULL,
    CONSTRAINT analytics_user_once PRIMARY KEY (hour, "user")
);

-- What is added up by hour, in shards: a transaction adds to one of them, so that servers do not queue behind one row, and a reader sums 64
-- rows at most, however many users there are. Updated in place: room is left on the page.
--   hour                  shard  unique_users  clicks  impressions
--   2026-01-01 11:00:00Z  17     3             2       5
CREATE TABLE analytics_hour (
    hour         timestamptz NOT NULL,
    shard        smallint    NOT NULL,
    unique_users bigint      NOT NULL,
    clicks       bigint      NOT NULL,
    impressions  bigint      NOT NULL,
    CONSTRAINT analytics_hour_once PRIMARY KEY (hour, shard),
    CONSTRAINT analytics_hour_shard CHECK (shard BETWEEN 0 AND 63),
    CONSTRAINT analytics_hour_counts CHECK (unique_users >= 0 AND clicks >= 0 AND impressions >= 0)
) WITH (fillfactor = 50);

-- What people read; `hour` is the BEGIN of the hour, UTC.
--   hour                  unique_users  clicks  impressions
--   2026-01-01 11:00:00Z  8             6       14
CREATE VIEW analytics AS
SELECT hour,
       sum(unique_users)::bigint AS unique_users,
       sum(clicks)::bigint       AS clicks,
       sum(impressions)::bigint  AS impressions
FROM analytics_hour
GROUP BY hour;
