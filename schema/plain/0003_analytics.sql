-- Any PostgreSQL without community TimescaleDB: the same table, as an ordinary one.

CREATE INDEX hit_received_at ON hit USING brin (received_at);
