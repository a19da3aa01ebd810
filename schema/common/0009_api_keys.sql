-- Who may come in, where keys are asked for. A key is shown once, when it is made; here is only what recognises it. Revoked ones stay, so that
-- what they have sent keeps its name.
--   id        name    scope   rate  digest  created_at            revoked_at
--   k3v9q2hx  fleet   ingest  50    \x9f…   2026-01-01 12:00:00Z
CREATE TABLE api_key (
    id         text COLLATE "C"  NOT NULL,
    name       text              NOT NULL,
    scope      text              NOT NULL,
    rate       double precision,
    digest     bytea             NOT NULL,
    created_at timestamptz       NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT api_key_once PRIMARY KEY (id),
    CONSTRAINT api_key_scope CHECK (scope IN ('ingest', 'read')),
    CONSTRAINT api_key_rate CHECK (rate > 0),
    CONSTRAINT api_key_digest CHECK (octet_length(digest) = 32)
);
CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE revoked_at IS NULL;
