-- TimescaleDB, community licence: hit as a hypertable.

-- By the moment of reception, not by the client's `time`: a client that says odd times could make chunks without end.
SELECT create_hypertable('hit', by_range('received_at', INTERVAL '6 hours'), create_default_indexes => false);
CREATE INDEX hit_received_at ON hit USING brin (received_at);

-- Ordered by user the texts of one user lie together.
ALTER TABLE hit SET (timescaledb.enable_columnstore, timescaledb.segmentby = '', timescaledb.orderby = '"user", received_at');
