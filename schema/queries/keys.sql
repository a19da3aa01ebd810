-- API keys. Named queries; `%(name)s` are parameters.

-- name: living_keys
-- What a collector knows of the keys that may come in.
SELECT id, scope, rate, digest FROM api_key WHERE revoked_at IS NULL;

-- name: every_key
-- For people: newest last.
SELECT id, name, scope, rate, created_at, revoked_at FROM api_key ORDER BY created_at, id;

-- name: create_key
-- No row comes back where a living key has the name.
INSERT INTO api_key (id, name, scope, rate, digest)
VALUES (%(id)s, %(name)s, %(scope)s, %(rate)s, %(digest)s)
ON CONFLICT DO NOTHING
RETURNING created_at;

-- name: revoke_key
-- By its id or its name.
UPDATE api_key SET revoked_at = now() WHERE (id = %(key)s OR name = %(key)s) AND revoked_at IS NULL
RETURNING id, name, scope, rate, created_at, revoked_at;
