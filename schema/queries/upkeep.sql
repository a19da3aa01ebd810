-- How long rows are kept: what is said of it, and TimescaleDB's policies that do it. Named queries; `%(name)s` are parameters.

-- name: kept
-- What the database has been told.
SELECT name, keep, relation, time_column, condition FROM retention;

-- name: keep
INSERT INTO retention (name, keep, relation, time_column, condition)
VALUES (%(name)s, %(keep)s, %(relation)s, %(time_column)s, %(condition)s)
ON CONFLICT (name) DO UPDATE
SET keep = excluded.keep, relation = excluded.relation, time_column = excluded.time_column, condition = excluded.condition;

-- name: forget_old
SELECT forget_old(%(name)s, %(rows)s);

-- name: forget_payloads
SELECT forget_payloads(%(rows)s);

-- name: summarize_anew
SELECT summarize_anew(%(ranges)s);

-- name: keep_no_more
-- Of rows that this program does not know; a newer one has refused to start.
DELETE FROM retention WHERE name = %(name)s;

-- name: policies
-- Background jobs with the ages that they act on, each with the hypertable or continuous aggregate that it is for.
SELECT job.job_id,
       job.proc_name,
       coalesce(aggregate.view_name, job.hypertable_name),
       (coalesce(job.config ->> 'drop_after', job.config ->> 'compress_after', job.config ->> 'start_offset'))::interval,
       (job.config ->> 'end_offset')::interval,
       job.schedule_interval
FROM timescaledb_information.jobs AS job
LEFT JOIN timescaledb_information.continuous_aggregates AS aggregate
       ON job.hypertable_name IN (aggregate.view_name, aggregate.materialization_hypertable_name)
WHERE job.proc_name IN ('policy_retention', 'policy_compression', 'policy_refresh_continuous_aggregate')
  AND job.hypertable_name IS NOT NULL;

-- name: jobs
-- The same for people: how the last run went, whether it runs at all, and whether it has not succeeded for three times its interval, though the
-- server was up and the schema was there. One that was just made, and has its first run before it, is not late.
SELECT job.job_id,
       job.proc_name,
       coalesce(aggregate.view_name, job.hypertable_name),
       job.schedule_interval::text,
       stats.last_run_status,
       job.config::text,
       job.scheduled,
       NOT (stats.last_run_status IS NULL AND coalesce(stats.next_start > now(), false))
           AND greatest(nullif(stats.last_successful_finish, '-infinity'), pg_postmaster_start_time(),
                        (SELECT max(applied_at) FROM collector_schema)) < now() - 3 * job.schedule_interval
FROM timescaledb_information.jobs AS job
LEFT JOIN timescaledb_information.job_stats AS stats USING (job_id)
LEFT JOIN timescaledb_information.continuous_aggregates AS aggregate
       ON job.hypertable_name IN (aggregate.view_name, aggregate.materialization_hypertable_name)
WHERE starts_with(job.proc_name, 'policy_') AND job.hypertable_name IS NOT NULL
ORDER BY 2, 3;

-- name: room_for_connections
-- Connections that are not kept for administrators.
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true), '0')::int;

-- name: chunk_intervals
SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions WHERE time_interval IS NOT NULL;

-- name: set_chunk_interval
-- For chunks that are made from now on.
SELECT set_chunk_time_interval(%(table)s::regclass, %(chunk)s::interval);

-- name: add_retention
SELECT add_retention_policy(%(table)s::regclass, drop_after => %(after)s::interval, schedule_interval => %(every)s::interval);

-- name: remove_retention
SELECT remove_retention_policy(%(table)s::regclass);

-- name: add_columnstore
CALL add_columnstore_policy(%(table)s::regclass, after => %(after)s::interval);

-- name: remove_columnstore
CALL remove_columnstore_policy(%(table)s::regclass);

-- name: add_refresh
SELECT add_continuous_aggregate_policy(%(table)s::regclass,
    start_offset => %(after)s::interval, end_offset => %(end)s::interval, schedule_interval => %(every)s::interval);

-- name: remove_refresh
SELECT remove_continuous_aggregate_policy(%(table)s::regclass);

-- name: alter_policy
-- `key` is what the policy calls its age.
SELECT alter_job(job_id,
    schedule_interval => coalesce(%(every)s::interval, schedule_interval),
    config => jsonb_set(config, ARRAY[%(key)s::text], to_jsonb(%(after)s::interval::text))
              || CASE WHEN %(end)s::interval IS NULL THEN '{}' ELSE jsonb_build_object('end_offset', %(end)s::interval::text) END)
FROM timescaledb_information.jobs
WHERE job_id = %(job)s;

-- name: refresh_range
-- Of a continuous aggregate; cannot be part of a transaction.
CALL refresh_continuous_aggregate(%(table)s::regclass, %(since)s::timestamptz, %(until)s::timestamptz);

-- name: wiping_refreshes
-- Aggregates with a refresh that reaches back to rows which are dropped, whoever made the policies: it would find nothing there, and wipe what
-- they had come to. A refresh without a start reaches back to everything.
SELECT aggregate.view_name,
       coalesce(below.view_name, aggregate.hypertable_name),
       (refresh.config ->> 'start_offset')::interval,
       (drop.config ->> 'drop_after')::interval
FROM timescaledb_information.continuous_aggregates AS aggregate
LEFT JOIN timescaledb_information.continuous_aggregates AS below
       ON below.materialization_hypertable_name = aggregate.hypertable_name
JOIN timescaledb_information.jobs AS refresh
       ON refresh.proc_name = 'policy_refresh_continuous_aggregate'
      AND refresh.hypertable_name IN (aggregate.view_name, aggregate.materialization_hypertable_name)
JOIN timescaledb_information.jobs AS drop
       ON drop.proc_name = 'policy_retention'
      AND drop.hypertable_name IN (aggregate.hypertable_name, below.view_name)
WHERE refresh.config ->> 'start_offset' IS NULL
   OR (refresh.config ->> 'start_offset')::interval + %(margin)s::interval >= (drop.config ->> 'drop_after')::interval
ORDER BY 1;
