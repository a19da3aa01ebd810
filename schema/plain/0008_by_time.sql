-- Any PostgreSQL without community TimescaleDB: what a table of rows in the order of time needs.

-- An index by which a range of time is found; the order is for the columnstore that is not here.
CREATE FUNCTION keep_by_time(relation regclass, time_column name, order_by text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX ON %s USING brin (%I)', relation, time_column);
END;
$$;
