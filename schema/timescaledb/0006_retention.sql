-- TimescaleDB, community licence: old windows of stats_5m may be columnar. A customer's windows are read together.

ALTER MATERIALIZED VIEW stats_5m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'customer', timescaledb.orderby = 'bucket DESC, content');
