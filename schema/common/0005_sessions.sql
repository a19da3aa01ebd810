-- One row a message of /sessions or /sessions/logs: a sample of the CPU, or an event of the app. `time` is the client's, corrected by what its
-- clock is off, or the moment of reception. (session, seq) is not unique here, for seq may be absent and a unique index would need the time: what
-- a log repeats is left out before it comes here.
--   time                    received_at             session  seq  version  cpu   event   phase  properties
--   2026-01-01 12:00:00Z    2026-01-01 12:00:00.1Z  b5f2…    41   2.3.4    37.5
--   2026-01-01 12:00:00.9Z  2026-01-01 12:00:01Z    b5f2…    42   2.3.4          filter  begin  {"filename_length": 31}
CREATE TABLE session_message (
    time        timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    session     text        NOT NULL,
    seq         bigint,
    version     text,
    cpu         double precision,
    event       text,
    phase       text,
    properties  jsonb,
    CONSTRAINT session_message_seq_is_not_negative CHECK (seq >= 0),
    CONSTRAINT session_message_cpu_is_not_negative CHECK (cpu >= 0),
    CONSTRAINT session_message_phase CHECK (phase IN ('begin', 'end'))
);
