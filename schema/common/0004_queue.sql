-- The queue behind /payloads where there is no Kafka: one row a payload that is accepted and not yet in `payload`. A consumer takes rows and
-- writes them there in one statement, so a row is always in exactly one of the two. received_at is the moment of the HTTP request.
--   id  received_at             token  customer  content  timespan  p2p     cdn      session_duration
--   17  2026-01-01 12:00:00.1Z  b5f2…  acme      film-7   30000     120000  4500000  60000
CREATE TABLE payload_queue (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    received_at      timestamptz NOT NULL,
    token            text        NOT NULL,
    customer         text        NOT NULL,
    content          text        NOT NULL,
    timespan         bigint      NOT NULL,
    p2p              bigint      NOT NULL,
    cdn              bigint      NOT NULL,
    session_duration bigint      NOT NULL,
    CONSTRAINT payload_queue_once PRIMARY KEY (id)
) WITH (
    -- Every row dies soon. What matters is that dead ones go before the next look at the head of the queue has to step over them, whatever the
    -- size of the table: by number, not by share, and without pauses.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000
);
