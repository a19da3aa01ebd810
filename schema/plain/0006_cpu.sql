-- Any PostgreSQL without community TimescaleDB: session_cpu as an ordinary table.

CREATE INDEX session_cpu_bucket ON session_cpu USING brin (bucket) WITH (autosummarize = on);
CREATE INDEX session_cpu_session ON session_cpu (session_id, bucket);
