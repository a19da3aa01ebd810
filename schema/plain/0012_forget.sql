-- Any PostgreSQL without community TimescaleDB: payloads past their age go, and what they came to is added up in the same statement.

CREATE FUNCTION forget_payloads(most integer) RETURNS integer LANGUAGE sql SECURITY DEFINER AS $$
    WITH gone AS (
        DELETE FROM payload
        WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM payload
            WHERE received_at < now() - (SELECT keep FROM retention WHERE name = 'payload')
            LIMIT most
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING received_at, customer, content, cdn, p2p, started
    ), added AS (
        INSERT INTO stats_5m_kept AS kept (bucket, customer, content, cdn, p2p, sessions)
        SELECT date_bin('5 minutes', received_at, TIMESTAMPTZ '2000-01-01 00:00:00Z'), customer, content,
               sum(cdn), sum(p2p), count(*) FILTER (WHERE started)
        FROM gone
        GROUP BY 1, 2, 3
        ORDER BY 1, 2, 3
        ON CONFLICT (bucket, customer, content) DO UPDATE
        SET cdn      = kept.cdn + excluded.cdn,
            p2p      = kept.p2p + excluded.p2p,
            sessions = kept.sessions + excluded.sessions
    )
    SELECT count(*)::integer FROM gone
$$;

DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION forget_payloads(integer) SET search_path = %I, pg_temp', current_schema());
END $$;
