-- CPU of sessions, added up for the report: a refresh brings these tables up to date with session_message, from what it finds in cpu_dirty. They
-- are kept for longer than session_message (90 days), and can be made again from it.

-- Which sessions have messages that are not added up yet, from which of their times on: a row a session and statement that stored some, written
-- in its transaction, whoever it is. The refresh takes them out.
--   session  since
--   b5f2…    2026-01-01 12:00:00Z
CREATE TABLE cpu_dirty (
    session text        NOT NULL,
    since   timestamptz NOT NULL
) WITH (
    -- As in payload_queue: every row dies within a minute or so.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000
);

CREATE FUNCTION note_dirty_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cpu_dirty (session, since) SELECT session, min(time) FROM stored GROUP BY session;
    RETURN NULL;
END $$;
CREATE TRIGGER session_message_dirty AFTER INSERT ON session_message
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION note_dirty_sessions();

-- A short name for each session, and how far it is added up. dirty_since: its rows from the bucket of this time on have to be made again.
-- open_events: what was in force when open_bucket, that of its last message, began; from there on a refresh goes on.
--   id  session  dirty_since  open_bucket           open_events
--   17  b5f2…                 2026-01-01 12:05:00Z  [{"time": "2026-01-01T12:04:10Z", "seq": 42, "event": "filter", "phase": "begin", …}]
CREATE TABLE cpu_session (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    session     text NOT NULL,
    dirty_since timestamptz,
    open_bucket timestamptz,
    open_events jsonb,
    CONSTRAINT cpu_session_id PRIMARY KEY (id),
    CONSTRAINT cpu_session_once UNIQUE (session)
) WITH (fillfactor = 80);
CREATE INDEX cpu_session_dirty ON cpu_session (dirty_since) WHERE dirty_since IS NOT NULL;
-- For housekeeping.
CREATE INDEX cpu_session_open_bucket ON cpu_session USING brin (open_bucket);

-- A short name for each event. Past 10,000 of them new ones get none: they are all -1 in session_cpu.
--   id  event
--   3   filter
CREATE TABLE cpu_event (
    id    integer GENERATED ALWAYS AS IDENTITY,
    event text NOT NULL,
    CONSTRAINT cpu_event_id PRIMARY KEY (id),
    CONSTRAINT cpu_event_once UNIQUE (event)
);

-- The samples of a session by 5 minutes and by what was in force when they were taken: the event (0: none) and what it said. A sample for which
-- several events were in force is in a row of each. layer: 0 is the event that had been in force for longest, and these rows have each sample of
-- the session once; 1 another event; 2 an event that was in force already, so that layers 0 and 1 have each sample of an event once. cpu: the
-- samples, sorted; so any threshold and any quantile can be asked for.
--   bucket                session_id  event_id  layer  samples  cpu_max  cpu_sum  cpu          properties
--   2026-01-01 12:00:00Z  17          3         0      3        37.5     60.5     {8,15,37.5}  {"filename_length": 31}
CREATE TABLE session_cpu (
    bucket     timestamptz        NOT NULL,
    session_id bigint             NOT NULL,
    event_id   integer            NOT NULL,
    layer      smallint           NOT NULL,
    samples    integer            NOT NULL,
    cpu_max    double precision   NOT NULL,
    cpu_sum    double precision   NOT NULL,
    cpu        double precision[] NOT NULL,
    properties jsonb,
    CONSTRAINT session_cpu_samples CHECK (samples > 0),
    CONSTRAINT session_cpu_layer CHECK (layer BETWEEN 0 AND 2)
);

-- What a session says of itself, from a bucket on until the next row: its version, and the properties of messages without an event, newer ones
-- over older ones. A row where something changes.
--   session_id  bucket                version  properties
--   17          2026-01-01 12:00:00Z  6.04     {"os": "windows"}
CREATE TABLE session_fact (
    session_id bigint      NOT NULL,
    bucket     timestamptz NOT NULL,
    version    text,
    properties jsonb       NOT NULL,
    CONSTRAINT session_fact_once PRIMARY KEY (session_id, bucket)
);

-- The 5 minutes that a time is in.
CREATE FUNCTION cpu_bucket(moment timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin(INTERVAL '5 minutes', moment, TIMESTAMPTZ '2000-01-01 00:00:00Z');

-- Of properties what sessions can be told apart by: names and numbers, no more than 50 of them.
CREATE FUNCTION cpu_scalars(properties jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(jsonb_object_agg(key, value), '{}')
        FROM (
            SELECT key, value
            FROM jsonb_each(properties)
            WHERE jsonb_typeof(value) IN ('string', 'number', 'boolean')
              AND length(key) <= 256 AND length(value::text) <= 258
            ORDER BY key LIMIT 50
        ) AS scalar
    );

-- Whether properties fulfil a condition; one without a key always holds. Names and numbers are equal where their texts are.
CREATE FUNCTION cpu_fulfils(properties jsonb, key text, op text, value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN key IS NULL THEN true
        WHEN jsonb_typeof(properties -> key) IS DISTINCT FROM 'number' THEN coalesce(op = '=' AND properties ->> key = value, false)
        WHEN op = '=' THEN trim_scale((properties -> key)::numeric)::text = value
        WHEN op = '>' THEN (properties -> key)::numeric > value::numeric
        ELSE (properties -> key)::numeric <= value::numeric
    END;

-- Objects, each laid over those before it.
CREATE AGGREGATE cpu_merge (jsonb) (SFUNC = jsonb_concat, STYPE = jsonb, INITCOND = '{}', PARALLEL = SAFE);

-- What is stored already has to be added up, too.
INSERT INTO cpu_dirty (session, since) SELECT session, min(time) FROM session_message GROUP BY session;
