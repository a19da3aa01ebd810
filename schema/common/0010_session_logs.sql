-- Sessions that have sent a log, and the highest number in it: a live message of one of them, up to that number, may be stored already, and is
-- looked for first. Kept for as long as messages are.
--   session  last_seq  logged_at
--   b5f2…    58211     2026-01-01 12:00:00Z
CREATE TABLE session_log (
    session   text COLLATE "C" NOT NULL,
    last_seq  bigint           NOT NULL,
    logged_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT session_log_once PRIMARY KEY (session)
);
CREATE INDEX session_log_logged_at ON session_log USING brin (logged_at);
