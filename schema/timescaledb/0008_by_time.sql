-- TimescaleDB, community licence: what a table of rows in the order of time needs.

-- Makes an empty table a hypertable; columnar, its rows are ordered by these columns.
CREATE FUNCTION keep_by_time(relation regclass, time_column name, order_by text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM create_hypertable(relation, by_range(time_column, INTERVAL '6 hours'), create_default_indexes => false);
    EXECUTE format('CREATE INDEX ON %s USING brin (%I)', relation, time_column);
    EXECUTE format(
        'ALTER TABLE %s SET (timescaledb.enable_columnstore, timescaledb.segmentby = '''', timescaledb.orderby = %L)', relation, order_by
    );
END;
$$;
