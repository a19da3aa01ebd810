-- Any PostgreSQL without community TimescaleDB: session_message as an ordinary table.

CREATE INDEX session_message_time ON session_message USING brin (time);
CREATE INDEX session_message_session ON session_message (session, time);
