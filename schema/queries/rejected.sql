-- The quarantine, as `collector rejected` reads it and takes lines out. Named queries; `%(name)s` are parameters.

-- name: rejected_newest
SELECT id, received_at, source, line, reason, raw, skew_ms
FROM rejected_fitting(%(source)s, %(reason)s, %(since)s, %(until)s, %(ids)s::bigint[])
ORDER BY id DESC
LIMIT %(limit)s;

-- name: rejected_after
-- In the order in which they were put aside, after a number.
SELECT id, received_at, source, line, reason, raw, skew_ms
FROM rejected_fitting(%(source)s, %(reason)s, %(since)s, %(until)s, %(ids)s::bigint[])
WHERE id > %(after)s
ORDER BY id
LIMIT %(limit)s;

-- name: count_rejected
SELECT count(*) FROM rejected_fitting(%(source)s, %(reason)s, %(since)s, %(until)s, %(ids)s::bigint[]);

-- name: remove_rejected
-- These are stored now.
DELETE FROM rejected WHERE id = ANY (%(ids)s::bigint[]) RETURNING id;
