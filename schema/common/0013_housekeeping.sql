-- Housekeeping is for those who serve, and nobody else; and BRIN indexes stay narrow where pages are used again.

-- As it was, but: payloads leave what they came to, whoever asks (where there is no TimescaleDB); and a slice is found again by ctid alone. Where the
-- planner expects next to nothing past its age, it went by an index on the age once more, and through the slice for each row found.
CREATE OR REPLACE FUNCTION forget_old(what text, most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    kept retention%ROWTYPE;
    gone integer;
BEGIN
    IF what = 'payload' AND to_regprocedure('forget_payloads(integer)') IS NOT NULL THEN
        RETURN forget_payloads(most);
    END IF;
    SELECT * INTO kept FROM retention WHERE name = what AND keep IS NOT NULL AND relation IS NOT NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        'DELETE FROM %1$I
         WHERE ctid = ANY (ARRAY (SELECT ctid FROM %1$I WHERE %2$I < now() - $1 AND (%3$s) LIMIT $2 FOR UPDATE SKIP LOCKED))
           AND (%2$I < now() - $1 AND (%3$s)) IS TRUE',
        kept.relation, kept.time_column, kept.condition
    ) USING kept.keep, most;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- `collector migrate` grants it to collector_ingest (see roles.sql).
REVOKE EXECUTE ON FUNCTION forget_old(text, integer) FROM PUBLIC;

-- What a BRIN index says of a range of pages is only ever widened, also by rows that come where others were deleted; in the end every range has to be
-- read. So they are summarized anew, a slice of an index at a time and one range after the other, because one without a summary is read by every
-- query. An index is due a day after it was done, sooner if rows of its table are kept for days only. Returns whether one was.
-- How far an index is stands in progress, as a number of ranges:
--   source                          position  complete  retention  updated_at
--   index session_token_created_at  640       f         indexes    2026-01-01 12:00:00Z
CREATE FUNCTION summarize_anew(most integer) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    due record;
    until bigint;
BEGIN
    -- A hypertable has no pages itself, and its chunks, in another schema, are dropped with theirs. A last range that is not full stays as it is.
    SELECT brin.oid::regclass AS index, known.source, width, ranges, CASE WHEN progress.complete THEN 0 ELSE coalesce(position, 0) END AS reached
    INTO due
    FROM pg_index
    JOIN pg_class AS brin ON brin.oid = indexrelid
    JOIN pg_class AS heap ON heap.oid = indrelid
    JOIN pg_am ON pg_am.oid = brin.relam
    CROSS JOIN LATERAL (SELECT 'index ' || brin.relname) AS known (source)
    CROSS JOIN LATERAL (
        SELECT coalesce(max(option_value::bigint) FILTER (WHERE option_name = 'pages_per_range'), 128) FROM pg_options_to_table(brin.reloptions)
    ) AS range (width)
    CROSS JOIN LATERAL (SELECT pg_relation_size(heap.oid) / current_setting('block_size')::bigint / width) AS size (ranges)
    LEFT JOIN progress ON progress.source = known.source
    WHERE amname = 'brin'
      AND indisvalid
      AND heap.relkind = 'r'
      AND heap.relnamespace = current_schema()::regnamespace
      AND pg_has_role(brin.relowner, 'USAGE')
      AND ranges > 0
      AND (progress.complete IS NOT true OR updated_at < now() - greatest(
              INTERVAL '10 minutes', least(INTERVAL '1 day', (SELECT min(keep) FROM retention WHERE relation = heap.relname) / 24)))
    ORDER BY progress.complete, known.source
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    until := least(due.reached + most, due.ranges);
    FOR range IN due.reached .. until - 1 LOOP
        PERFORM brin_desummarize_range(due.index, range * due.width);
        PERFORM brin_summarize_range(due.index, range * due.width);
    END LOOP;
    INSERT INTO progress AS known (source, owner, position, complete, retention) VALUES (due.source, 0, until, until = due.ranges, 'indexes')
    ON CONFLICT (source) DO UPDATE SET position = excluded.position, complete = excluded.complete, updated_at = now();
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION summarize_anew(integer) FROM PUBLIC;

DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION forget_old(text, integer) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION summarize_anew(integer) SET search_path = %I, pg_temp', current_schema());
END $$;
