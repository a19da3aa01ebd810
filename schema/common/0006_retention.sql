-- For how long rows are kept: written by `collector migrate` from the settings, and acted on by housekeeping and, on TimescaleDB, by policies.

-- No age: for ever.
--   name     keep
--   payload  30 days
--   stats_5m
CREATE TABLE retention (
    name text     NOT NULL,
    keep interval,
    CONSTRAINT retention_once PRIMARY KEY (name),
    CONSTRAINT retention_is_some_time CHECK (keep > INTERVAL '0')
);

-- Which of these a source's progress goes by. What is applied of a topic goes by none of them, and is never forgotten.
ALTER TABLE progress ADD COLUMN retention text NOT NULL DEFAULT 'keys';
UPDATE progress SET retention = 'topics' WHERE starts_with(source, 'kafka ');
UPDATE progress SET retention = 'imports' WHERE split_part(source, ' ', 2) = 'import';
