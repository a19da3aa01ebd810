-- session_cpu as a hypertable. It outlives session_message, whose chunks are dropped after 30 days.

SELECT create_hypertable('session_cpu', by_range('bucket', INTERVAL '6 hours'), create_default_indexes => false);
CREATE INDEX session_cpu_bucket ON session_cpu USING brin (bucket);
CREATE INDEX session_cpu_session ON session_cpu (session_id, bucket);

-- Windows are read as a whole, but a session's rows are made again together.
ALTER TABLE session_cpu SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'session_id', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('session_cpu', after => INTERVAL '2 days');
SELECT add_retention_policy('session_cpu', drop_after => INTERVAL '90 days');
