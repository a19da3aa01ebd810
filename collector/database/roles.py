"""Who may do what in the database: three roles, made by `collector migrate`, and given to the roles that log in.

`collector_owner` has the tables, `collector_ingest` writes what comes in, `collector_read` reads what people read.
Roles belong to the whole cluster, so they may be there already, and whoever migrates may lack the right to make them:
then everything works as that user, and `collector doctor` says what is missing.
"""

import contextlib
from collections.abc import Iterator

from collector.endpoints import KINDS
from collector.errors import StoreDown
from collector.store.admin import Admin
from collector.store.queries import QUERIES

OWNER, INGEST, READ = "collector_owner", "collector_ingest", "collector_read"

Grant = tuple[str, str, str]
"""A relation or a function, a role or PUBLIC, and what that may do with it."""


def give_roles(admin: Admin, *, jobs: bool) -> None:
    """Make the roles, and give each what it is to have, and no more; `jobs` where TimescaleDB runs jobs as the owner.
    What is so already is left alone, and what this user may not do is left to `shortcomings`.
    """
    for statement in _missing_roles(admin, jobs=jobs):
        _try(admin, statement)
    for statement in _schema_rights(admin):
        _try(admin, statement)
    # All of them or none: a view reads as its owner, who has to own what it reads.
    _try(admin, ";".join(_owners(admin)))
    for statement in _grants(admin):
        _try(admin, statement)


def _try(admin: Admin, statements: str) -> None:
    with contextlib.suppress(StoreDown), admin.transaction():
        admin.run(statements)


def shortcomings(admin: Admin) -> list[str]:
    """What of the roles is not as it is to be; empty when all is well."""
    absent = [role for role in (OWNER, INGEST, READ) if not _exists(admin, role)]
    if absent:
        return [
            f"the database role{'s' if len(absent) > 1 else ''} {', '.join(absent)}: run `collector migrate` as one "
            "that may create roles"
        ]
    wanted, actual = _wanted(admin), _actual(admin)
    found = []
    owners = {owner for _, _, owner in _relations(admin)} | {owner for _, owner in admin.query("schema_functions")}
    others = sorted(owners - {OWNER})
    if others:
        found.append(f"{OWNER} as the owner of every table: {', '.join(others)} owns some or all of them")
    if _lacks_temporary(admin):
        found.append(f"TEMPORARY on the database for {INGEST}")
    found += [f"{privilege} on {relation} for {role}" for relation, role, privilege in sorted(wanted - actual)]
    found += [
        f"a limit for {role}: it has {privilege} on {relation}" for relation, role, privilege in sorted(actual - wanted)
    ]
    return found


def rights_missing(admin: Admin, role: str) -> str | None:
    """What this connection's user lacks to work as `role`, as a sentence; None where it lacks nothing."""
    if admin.value(f"SELECT coalesce(pg_has_role(to_regrole('{role}'), 'MEMBER'), false)"):
        return None
    lacking = [
        f"{privilege} on {relation}"
        for relation, other, privilege in sorted(_wanted(admin))
        if other == role and not admin.value(*_has(relation, privilege))
    ]
    if not lacking:
        return None
    user = admin.value("SELECT current_user::text")
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"the database role {user} lacks {lacking[0]}{more}: GRANT {role} TO {user}"


def _missing_roles(admin: Admin, *, jobs: bool) -> Iterator[str]:
    if not all(_exists(admin, role) for role in (OWNER, INGEST, READ)):
        yield QUERIES["make_roles"].decode()
    if not _exists(admin, OWNER):
        return
    if jobs and not admin.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (OWNER,)):
        yield f"ALTER ROLE {OWNER} LOGIN"
    # Who made a role may administer it, and is a member in that sense only, since PostgreSQL 16.
    become = "SET" if admin.value("SELECT current_setting('server_version_num')::int >= 160000") else "MEMBER"
    if not admin.value(f"SELECT pg_has_role('{OWNER}', 'USAGE') AND pg_has_role('{OWNER}', '{become}')"):
        yield f"GRANT {OWNER} TO CURRENT_USER"


def _schema_rights(admin: Admin) -> Iterator[str]:
    schema = admin.value("SELECT quote_ident(current_schema())")
    for role, rights in ((OWNER, ("USAGE", "CREATE")), (INGEST, ("USAGE",)), (READ, ("USAGE",))):
        for right in rights:
            if _exists(admin, role) and not admin.value(
                "SELECT has_schema_privilege(%s, current_schema(), %s)", (role, right)
            ):
                yield f"GRANT {right} ON SCHEMA {schema} TO {role}"
    if _exists(admin, INGEST) and _lacks_temporary(admin):
        yield f"GRANT TEMPORARY ON DATABASE {admin.value('SELECT quote_ident(current_database())')} TO {INGEST}"


def _lacks_temporary(admin: Admin) -> bool:
    """The sums behind the report are made in temporary tables; PUBLIC may make them, unless that was taken away."""
    return not admin.value("SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')", (INGEST,))


def _owners(admin: Admin) -> Iterator[str]:
    if not _exists(admin, OWNER):
        return
    aggregates = _continuous_aggregates(admin)
    for relation, kind, owner in _relations(admin):
        if owner != OWNER:
            what = "MATERIALIZED VIEW" if kind == "m" or relation in aggregates else "VIEW" if kind == "v" else "TABLE"
            yield f'ALTER {what} "{relation}" OWNER TO {OWNER}'
    for function, owner in admin.query("schema_functions"):
        if owner != OWNER:
            yield f"ALTER FUNCTION {function} OWNER TO {OWNER}"


def _grants(admin: Admin) -> Iterator[str]:
    wanted, actual = _wanted(admin), _actual(admin)
    for relation, role, privilege in sorted(wanted - actual):
        if _exists(admin, role):
            yield f"GRANT {privilege} ON {_named(relation)} TO {role}"
    for relation, role, privilege in sorted(actual - wanted):
        yield f"REVOKE {privilege} ON {_named(relation)} FROM {role}"


def _named(relation: str) -> str:
    """As SQL names it in a grant; a function is listed with the types of what it takes."""
    return f"FUNCTION {relation}" if relation.endswith(")") else f'"{relation}"'


def _has(relation: str, privilege: str) -> tuple[str, tuple[str, str]]:
    """The question whether this connection's user may do that."""
    if relation.endswith(")"):
        return "SELECT has_function_privilege(%s, %s)", (relation, privilege)
    return "SELECT has_table_privilege(%s, %s)", (f'"{relation}"', privilege)


def _there(admin: Admin) -> set[str]:
    return {relation for relation, _, _ in _relations(admin)} | {name for name, _ in admin.query("schema_functions")}


def _wanted(admin: Admin) -> set[Grant]:
    """Of the relations and functions that are there."""
    there = _there(admin)
    return {grant for grant in listed(admin) if grant[0] in there}


def _actual(admin: Admin) -> set[Grant]:
    there = _there(admin)
    rows = admin.query("actual_grants")
    return {(relation, role, privilege) for relation, role, privilege in rows if relation in there}


def listed(admin: Admin) -> set[Grant]:
    """What each role is to have; a table of `KINDS` is written by one and read by the other."""
    kinds = {grant for kind in KINDS for grant in ((kind.table, INGEST, "INSERT"), (kind.table, READ, "SELECT"))}
    return {(relation, role, privilege) for relation, role, privilege in admin.query("wanted_grants")} | kinds


def _relations(admin: Admin) -> list[tuple[str, str, str]]:
    """Name, kind as pg_class has it, and owner, of those that are ours."""
    ours = {relation for relation, _, _ in listed(admin)}
    rows = admin.query("schema_relations")
    return [(relation, kind, owner) for relation, kind, owner in rows if relation in ours]


def _continuous_aggregates(admin: Admin) -> set[str]:
    if admin.value("SELECT to_regclass('timescaledb_information.continuous_aggregates')::text") is None:
        return set()
    rows = admin.rows(
        "SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_schema = current_schema()"
    )
    return {name for (name,) in rows}


def _exists(admin: Admin, role: str) -> bool:
    return admin.value("SELECT to_regrole(%s)::text", (role,)) is not None
