"""SQL statements as a whole: those of the version before go on working on this schema,
and by which of them a database distributed by tenant is reached as a whole.
"""

import json
import re
import subprocess

from control_plane import ROOT, new_database

MIGRATIONS = sorted((ROOT / "migrations").glob("*.sql"))
# What reads all tenants at once; docs/scale.md says what each costs.
OF_ALL_TENANTS = {
    "count(*) AS \"count!\" FROM tenants",
    "min(due_at) AS since FROM work_hints",
    "SELECT tenant_id FROM work_hints",
    "SELECT tenant_id FROM tenants WHERE tenant_id > $1",
    "SELECT tenant_id FROM tenants WHERE deleted_at IS NOT NULL",
    "SELECT tenant_id AS id, name, created_at, deleted_at FROM tenants",
}


def psql(database: str, *arguments: str, text: str | None = None) -> str:
    run = subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", *arguments, database],
        input=text,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def migrated() -> str:
    database = new_database()
    for file in MIGRATIONS:
        psql(database, "-1", "-f", str(file))
    return database


def test_the_version_before_works_on_this_schema():
    statements = json.loads((ROOT / "tests" / "upgrade" / "before.json").read_text())
    assert len(statements) > 100
    text = "".join(f"PREPARE s{n} AS {sql};\n" for n, sql in enumerate(statements)
                   if sql.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
    database = migrated()
    psql(database, text=text)
    # A change that does not only expand is noticed.
    psql(database, "-c", "ALTER TABLE lanes RENAME COLUMN head_n TO head_number")
    run = subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", database], input=text, capture_output=True, text=True
    )
    assert run.returncode != 0 and "head_n" in run.stderr


def test_statements_keep_to_one_tenant():
    sql = "\n".join(file.read_text() for file in MIGRATIONS)
    tables = re.findall(r"CREATE (?:UNLOGGED )?TABLE (\w+) \((.*?)\n\)", sql, re.DOTALL)
    of_tenants = {name for name, columns in tables if "tenant_id" in columns}
    assert len(of_tenants) > 20
    routed, platform, whole = [], [], []
    for file in (ROOT / ".sqlx").glob("*.json"):
        query = " ".join(json.loads(file.read_text())["query"].split())
        named = set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)", query))
        if not named & of_tenants:
            platform.append(query)
        elif re.search(r"tenant_id = \$\d|INSERT INTO \w+ (?:AS \w+ )?\(tenant_id", query):
            routed.append(query)
        else:
            whole.append(query)
    print(f"\n{len(routed)} of one tenant, {len(platform)} of the platform, {len(whole)} of all")
    unexpected = [q for q in whole if not any(known in q for known in OF_ALL_TENANTS)]
    assert not unexpected, unexpected
    assert len(whole) == len(OF_ALL_TENANTS)
