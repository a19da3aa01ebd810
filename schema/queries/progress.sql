-- How far each source is committed: the writers' own rows, keys of single messages, streams. Named queries; `%(name)s` are parameters. Lists come as JSON, which both sides handle in C.

-- name: take_writer
-- A writer's new connection takes the writer's own row, whose position counts its transactions. It waits for a transaction of the connection
-- before, and whatever still arrives by that one is of another owner and writes nothing. Owner 1: the row was not there.
INSERT INTO progress (source, owner, position) VALUES (%(source)s, 1, 0)
ON CONFLICT (source) DO UPDATE SET owner = progress.owner + 1, updated_at = now()
RETURNING owner, position;

-- name: advance_writer
-- In every transaction of a writer. No row: the writer was fenced.
UPDATE progress SET position = %(position)s, updated_at = now()
WHERE source = %(source)s AND owner = %(writer_owner)s
RETURNING position;

-- name: forget_writer
-- At a clean end.
DELETE FROM progress WHERE source = %(source)s;

-- name: claim_singles
-- Keys of single payloads; those that come back are new, the others are repeats. One that was reserved for this payload is completed.
INSERT INTO progress AS known (source, owner, position, complete, digest, accepted, retention)
SELECT source, 1, 1, true, decode(digest, 'hex'), 1, retention
FROM json_to_recordset(%(claims)s::json) AS claim (source text, digest text, retention text)
ORDER BY source COLLATE "C"
ON CONFLICT (source) DO UPDATE
SET owner = 1, position = 1, complete = true, accepted = 1, retention = excluded.retention, updated_at = now()
WHERE known.owner = 0 AND known.digest = excluded.digest
RETURNING source;

-- name: reserve_singles
-- Before a keyed payload goes into a topic, which forgets nothing, its key is taken for just this content: owner 0, until it is claimed. Those that
-- come back may be delivered; another request may have one of them in its hands for a second, and whoever comes then takes it over.
INSERT INTO progress AS known (source, owner, position, complete, digest, retention)
SELECT source, 0, 0, false, decode(digest, 'hex'), retention
FROM json_to_recordset(%(claims)s::json) AS claim (source text, digest text, retention text)
ORDER BY source COLLATE "C"
ON CONFLICT (source) DO UPDATE SET updated_at = now()
WHERE known.owner = 0 AND known.digest = excluded.digest AND known.updated_at < now() - INTERVAL '1 second'
RETURNING source;

-- name: find_progress
-- How far sources are committed.
SELECT source, owner, position, complete, digest, accepted, rejected
FROM progress
WHERE source = ANY (SELECT json_array_elements_text(%(sources)s::json));

-- name: take_stream
-- A request takes a key: it becomes the owner, and whoever was can commit nothing more. Waits for a commit of theirs under way.
-- `retention` says for how long it is known (collector/database/retention.py), where it is new.
INSERT INTO progress (source, owner, position, retention) VALUES (%(source)s, 1, 0, %(retention)s)
ON CONFLICT (source) DO UPDATE
SET owner = progress.owner + 1,
    digest = CASE WHEN progress.owner = 0 THEN '' ELSE progress.digest END, -- reserved for a payload that was never claimed
    updated_at = now()
RETURNING source, owner, position, complete, digest, accepted, rejected;

-- name: advance_streams
-- Compare-and-set on owner and position; sources that do not come back have moved on. Locked in order of their names.
WITH step AS (
    SELECT *
    FROM json_to_recordset(%(steps)s::json) AS step (
        source text, owner bigint, expected bigint, position bigint, complete boolean, digest text, accepted bigint, rejected bigint
    )
), locked AS MATERIALIZED (
    SELECT source FROM progress WHERE source IN (SELECT source FROM step) ORDER BY source FOR UPDATE
)
UPDATE progress
SET position   = step.position,
    complete   = step.complete,
    digest     = decode(step.digest, 'hex'),
    accepted   = progress.accepted + step.accepted,
    rejected   = progress.rejected + step.rejected,
    updated_at = now()
FROM step, locked
WHERE progress.source = step.source
  AND locked.source = step.source
  AND progress.owner = step.owner
  AND progress.position = step.expected
  AND NOT progress.complete
RETURNING progress.source, progress.owner;

-- name: rejected_lines
-- The first rejected lines of a stream, for the summary of one that is sent again. Only its newest ones: the key may have
-- named another stream before, whose progress is forgotten sooner than its lines.
SELECT line, reason
FROM (
    SELECT line, reason FROM rejected WHERE source = %(source)s ORDER BY received_at DESC, line DESC LIMIT %(newest)s
) AS own
ORDER BY line
LIMIT %(limit)s;
