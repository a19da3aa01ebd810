-- The quarantine for `collector rejected`: a number for each line, and which lines are meant.

ALTER TABLE rejected ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY, ADD CONSTRAINT rejected_once PRIMARY KEY (id);

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
