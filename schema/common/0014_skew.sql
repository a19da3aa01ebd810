-- A rejected line's correction of times: what its client's clock was off, as the first line of its request had told it.

-- The function takes its columns from the table, so it is made anew.
DROP FUNCTION rejected_fitting(text, text, timestamptz, timestamptz, bigint[]);

-- Milliseconds that were added to times; null where nothing was said of the clock.
--   source         line  raw                                    skew_ms
--   /sessions k    4     {"session": "s", "time": 176722560…}   3600000
ALTER TABLE rejected ADD COLUMN skew_ms bigint;

-- Lines that fit all that is given: how the source begins, the first word of the reason, from when on and before when they were received, and
-- their numbers. Becomes part of the query that uses it.
CREATE FUNCTION rejected_fitting(source_begins text, word text, since timestamptz, until timestamptz, numbers bigint[])
RETURNS SETOF rejected
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT *
    FROM rejected
    WHERE (source_begins IS NULL OR starts_with(source, source_begins))
      AND (word IS NULL OR split_part(reason, ':', 1) = word)
      AND (since IS NULL OR received_at >= since)
      AND (until IS NULL OR received_at < until)
      AND (numbers IS NULL OR id = ANY (numbers));
END;
