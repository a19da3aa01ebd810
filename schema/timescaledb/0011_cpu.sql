-- session_cpu as a hypertable.

SELECT create_hypertable('session_cpu', by_range('bucket', INTERVAL '6 hours'), create_default_indexes => false);
CREATE INDEX session_cpu_bucket ON session_cpu USING brin (bucket);
CREATE INDEX session_cpu_session ON session_cpu (session_id, bucket);

-- Windows are read as a whole, but a session's rows are made again together.
ALTER TABLE session_cpu SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'session_id', timescaledb.orderby = 'bucket');
