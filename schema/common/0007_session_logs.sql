-- Sessions that have sent a log: a live message of one of them may be stored already, and is looked for first. Kept for as long as messages are.
--   session  logged_at
--   b5f2…    2026-01-01 12:00:00Z
CREATE TABLE session_log (
    session   text COLLATE "C" NOT NULL,
    logged_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT session_log_once PRIMARY KEY (session)
);
CREATE INDEX session_log_logged_at ON session_log USING brin (logged_at);
