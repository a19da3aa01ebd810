-- Roles that log in, for a new database, before its first `collector migrate`. Run as a superuser, connected to the new database:
--   psql -d collector -f schema/logins.sql
-- Passwords come from variables of the environment, so that they are in no file and in no list of processes. compose.yaml runs this by itself.
\set ON_ERROR_STOP on
\getenv owner_password DATABASE_OWNER_PASSWORD
\getenv collector_password DATABASE_COLLECTOR_PASSWORD
\getenv grafana_password DATABASE_GRAFANA_PASSWORD

BEGIN;

-- Migrates, and owns the tables; TimescaleDB's jobs run as this role.
CREATE ROLE collector_owner LOGIN PASSWORD :'owner_password';
-- What the tables grant to; `collector migrate` says what.
CREATE ROLE collector_ingest NOLOGIN;
CREATE ROLE collector_read NOLOGIN;

-- `collector serve` and `collector consume`.
CREATE ROLE collector LOGIN PASSWORD :'collector_password';
GRANT collector_ingest, collector_read TO collector;

-- Dashboards. A query that takes longer than a minute is a mistake.
CREATE ROLE grafana LOGIN PASSWORD :'grafana_password';
GRANT collector_read TO grafana;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '60s';

ALTER DATABASE :"DBNAME" OWNER TO collector_owner;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO collector, grafana;

COMMIT;
