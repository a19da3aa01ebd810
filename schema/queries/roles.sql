-- Who may do what in the database. Named queries, run by `collector migrate` and `collector doctor`, and, the last one, by every connection.

-- name: make_roles
-- Three roles for the whole cluster; another database's migration may be making them just now. Nobody logs in as one of them by a password: they
-- are given to roles that do. (TimescaleDB's background jobs run as the tables' owner, and want one that may log in.)
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['collector_owner', 'collector_ingest', 'collector_read'] LOOP
        IF to_regrole(role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END $$;

-- name: wanted_grants
-- The one list of what each role may do, table by table; every table and view has a line, and every function that runs with its owner's rights.
-- `collector_ingest` writes, and reads what it needs for that; what is too old it may not delete, but have deleted (`forget_old`). `collector_read`
-- is for people and dashboards: measurements, neither keys nor who sent what.
SELECT relation, role, privilege
FROM (VALUES
    ('payload',          'INSERT',                      'SELECT'),
    ('session_token',    'SELECT INSERT',               ''),
    ('progress',         'SELECT INSERT UPDATE DELETE', ''),
    ('rejected',         'SELECT INSERT DELETE',        ''),
    ('retention',        'SELECT',                      ''),
    ('stats_5m',         '',                            'SELECT'),
    ('stats_5m_kept',    '',                            'SELECT'),
    ('stats',            '',                            'SELECT'),
    ('hit',              'INSERT',                      'SELECT'),
    ('analytics_user',   'SELECT INSERT',               'SELECT'),
    ('analytics_hour',   'SELECT INSERT UPDATE',        'SELECT'),
    ('analytics',        '',                            'SELECT'),
    ('payload_queue',    'SELECT INSERT UPDATE DELETE', 'SELECT'),
    ('session_message',  'SELECT INSERT',               'SELECT'),
    ('session_log',      'SELECT INSERT UPDATE',        ''),
    ('cpu_dirty',        'SELECT INSERT DELETE',        ''),
    ('cpu_session',      'SELECT INSERT UPDATE',        'SELECT'),
    ('cpu_event',        'SELECT INSERT',               'SELECT'),
    ('session_cpu',      'SELECT INSERT DELETE',        'SELECT'),
    ('session_fact',     'SELECT INSERT DELETE',        'SELECT'),
    ('api_key',          'SELECT',                      ''),
    ('collector_schema', 'SELECT',                      'SELECT'),
    ('forget_old(text,integer)', 'EXECUTE',             ''),
    ('forget_payloads(integer)', 'EXECUTE',             ''),
    ('summarize_anew(integer)',  'EXECUTE',             '')
) AS listed (relation, ingest, read)
CROSS JOIN LATERAL (VALUES ('collector_ingest', ingest), ('collector_read', read)) AS given (role, privileges)
CROSS JOIN LATERAL string_to_table(privileges, ' ') AS privilege;

-- name: actual_grants
-- What the roles may do with tables and views of the schema, and they or everybody with functions that run with their owner's rights.
SELECT relname, rolname, privilege_type
FROM pg_class
CROSS JOIN LATERAL aclexplode(relacl) AS entry
JOIN pg_roles ON pg_roles.oid = entry.grantee
WHERE relnamespace = current_schema()::regnamespace
  AND relkind IN ('r', 'p', 'v', 'm')
  AND rolname IN ('collector_ingest', 'collector_read')
UNION ALL
SELECT pg_proc.oid::regprocedure::text, coalesce(rolname, 'PUBLIC'), privilege_type
FROM pg_proc
CROSS JOIN LATERAL aclexplode(coalesce(proacl, acldefault('f', proowner))) AS entry
LEFT JOIN pg_roles ON pg_roles.oid = entry.grantee
WHERE pronamespace = current_schema()::regnamespace
  AND prosecdef
  AND (entry.grantee = 0 OR rolname IN ('collector_ingest', 'collector_read'));

-- name: schema_relations
-- Tables and views of the schema, with their owners; not what an extension has put there.
SELECT relname, relkind::text, relowner::regrole::text
FROM pg_class
WHERE relnamespace = current_schema()::regnamespace
  AND relkind IN ('r', 'p', 'v', 'm')
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e');

-- name: schema_functions
-- Functions that run with their owner's rights, with their owners.
SELECT oid::regprocedure::text, proowner::regrole::text
FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace
  AND prosecdef
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e');

-- name: take_role
-- A connection does what it is for with no more rights than that takes, where its own role may become that one, and the schema has granted it what
-- it needs (`relation` stands for all of it).
SELECT set_config('role', rolname, false)
FROM pg_roles
WHERE rolname = %(role)s
  AND pg_has_role(session_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
  AND has_table_privilege(oid, to_regclass(%(relation)s), %(privilege)s);
