-- Any PostgreSQL without community TimescaleDB: deleting payloads is for those who serve, too.

REVOKE EXECUTE ON FUNCTION forget_payloads(integer) FROM PUBLIC;
