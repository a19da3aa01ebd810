-- Housekeeping without the right to delete: whoever serves asks for what is too old to go, and what that is the database says itself.

-- By which column rows are as old as `keep` says, and which rows of the table are meant; `collector migrate` writes these, too. In the condition $1 is
-- `keep`.
--   name  keep    relation  time_column  condition
--   keys  24:00   progress  updated_at   retention = 'keys'
ALTER TABLE retention ADD COLUMN relation text, ADD COLUMN time_column text, ADD COLUMN condition text;

-- Deletes a slice of the rows that are past their age, and leaves out those that are in use; returns how many went. A row that was changed meanwhile
-- is another version, which is asked again.
CREATE FUNCTION forget_old(what text, most integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    kept retention%ROWTYPE;
    gone integer;
BEGIN
    SELECT * INTO kept FROM retention WHERE name = what AND keep IS NOT NULL AND relation IS NOT NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        'DELETE FROM %1$I
         WHERE ctid = ANY (ARRAY (SELECT ctid FROM %1$I WHERE %2$I < now() - $1 AND (%3$s) LIMIT $2 FOR UPDATE SKIP LOCKED))
           AND %2$I < now() - $1 AND (%3$s)',
        kept.relation, kept.time_column, kept.condition
    ) USING kept.keep, most;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- What the names in it mean is not up to who calls it.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION forget_old(text, integer) SET search_path = %I, pg_temp', current_schema());
END $$;
