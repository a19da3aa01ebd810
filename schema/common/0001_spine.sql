-- Tables that every PostgreSQL gets. Names and columns are the contract; see docs/data-model.md.

-- One row a stats payload. Append-ordered by received_at, so a BRIN index serves; no primary key: a payload has no identity of its own, and
-- repeats are left out before they come here (see progress).
--   received_at             token     customer  content  timespan  p2p     cdn      session_duration  started
--   2026-01-01 12:00:00.1Z  b5f2…     acme      film-7   30000     120000  4500000  60000             t
CREATE TABLE payload (
    received_at      timestamptz NOT NULL,
    token            text        NOT NULL,
    customer         text        NOT NULL,
    content          text        NOT NULL,
    timespan         bigint      NOT NULL,
    p2p              bigint      NOT NULL,
    cdn              bigint      NOT NULL,
    session_duration bigint      NOT NULL,
    started          boolean     NOT NULL,
    CONSTRAINT payload_amounts_are_not_negative
        CHECK (timespan >= 0 AND p2p >= 0 AND cdn >= 0 AND session_duration >= 0)
);

-- Tokens that have started a session. The C collation sorts as the collector does, so that two writers lock in the same order.
CREATE TABLE session_token (
    token      text COLLATE "C" NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT session_token_once PRIMARY KEY (token)
);
CREATE INDEX session_token_created_at ON session_token USING brin (created_at);

-- How far each source is committed. A source is a keyed request or stream ("/stats <key>"), or a writer ("writer <uuid>"), whose position is the
-- number of its transactions. Updated in place on every commit: room is left on the page.
--   source        owner  position  complete  digest  accepted  rejected  updated_at
--   /stats run-7  2      60000     f         \x8f…   59998     2         2026-01-01 12:00:03Z
CREATE TABLE progress (
    source     text COLLATE "C" NOT NULL,
    owner      bigint           NOT NULL,
    position   bigint           NOT NULL,
    complete   boolean          NOT NULL DEFAULT false,
    digest     bytea            NOT NULL DEFAULT '',
    accepted   bigint           NOT NULL DEFAULT 0,
    rejected   bigint           NOT NULL DEFAULT 0,
    updated_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT progress_once PRIMARY KEY (source),
    CONSTRAINT progress_counts CHECK (position >= 0 AND accepted >= 0 AND rejected >= 0)
) WITH (fillfactor = 50);
-- For housekeeping; a BRIN index leaves updates in place as cheap as they are.
CREATE INDEX progress_updated_at ON progress USING brin (updated_at);

-- Quarantine: lines that could not be accepted, with the reason and the bytes (the first 64 KiB).
CREATE TABLE rejected (
    received_at timestamptz NOT NULL,
    source      text        NOT NULL,
    line        bigint      NOT NULL,
    reason      text        NOT NULL,
    raw         bytea       NOT NULL
);
CREATE INDEX rejected_source_line ON rejected (source, line);
CREATE INDEX rejected_received_at ON rejected USING brin (received_at);
