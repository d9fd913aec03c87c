"""What a tenant, a pair and an exchange cost in PostgreSQL, and what walking all
tenants costs, by powers of ten. `make scale` runs it; docs/scale.md does the sums.
Exchanges and lanes are put in as the ledger keeps them; all else is made by calls.
"""

import concurrent.futures
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from control_plane import PLATFORM, control_plane

TENANTS = [int(n) for n in (sys.argv[1:] or ["10", "100", "1000"])]


# Bytes of a proof that is not shared, and of a body.
PROOF, BODY = 65, 97


def sql(database: str, statement: str) -> str:
    run = ["psql", "-qAt", database, "-c", statement]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()


def size(database: str) -> int:
    sql(database, "VACUUM")
    return int(sql(database, "SELECT pg_database_size(current_database())"))


def row(name: str, count: int, total: int, seconds: float):
    print(f"{name:34}{count:>9}{total / count:>12.0f} B{count / seconds:>10.0f} /s")


def main():
    print(f"{'':34}{'count':>9}{'bytes each':>14}{'made':>10}")
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as plane:
        database = plane.database
        pool = concurrent.futures.ThreadPoolExecutor(8)
        tokens: list[str] = []
        for goal in TENANTS:
            before, since, missing = size(database), time.monotonic(), goal - len(tokens)
            made = pool.map(lambda n: plane.tenant(f"tenant {n}"), range(len(tokens), goal))
            tokens += [tenant["token"] for tenant in made]
            row(f"tenants, {goal} in all", missing, size(database) - before, time.monotonic() - since)
        token = tokens[0]
        parties = {
            side: [plane.call("POST", f"/v1/{side}s", token, {"name": f"{side} {n}"})["id"] for n in range(100)]
            for side in ("consumer", "producer")
        }
        everybody = itertools.product(parties["consumer"], parties["producer"])
        for goal in (100, 1000):
            before, since = size(database), time.monotonic()
            couples = list(itertools.islice(everybody, goal))
            list(pool.map(lambda two: plane.call("POST", "/v1/pairs", token,
                 {"consumer_id": two[0], "producer_id": two[1], "policy": {}}), couples))
            row(f"pairs, {goal} more", len(couples), size(database) - before, time.monotonic() - since)
        # The ledger's rows, as reports of 1 and of 128 tickets leave them.
        owner = os.environ["ARMOUR_TEST_POSTGRES"].replace("armour@", "postgres@").rsplit("/", 1)[0]
        owner += "/" + database.rsplit("/", 1)[1]
        tenant = sql(owner, "SELECT tenant_id FROM pairs LIMIT 1")
        for each in (1, 128):
            rows = 128_000 // each
            before, since = size(owner), time.monotonic()
            sql(owner, f"""SET session_replication_role = replica;
                INSERT INTO ticket_runs (tenant_id, bundle_id, lane, first_at, last_at, previous,
                                         rests, ticket_proof, receipt_proof, reporter_id)
                SELECT '{tenant}', gen_random_uuid(), 0, n * {2 * each}, (n + 1) * {2 * each} - 1,
                       decode(repeat('ab', 32), 'hex'),
                       -- Hashes, which nothing compresses: 64 bytes an exchange.
                       (SELECT string_agg(decode(md5(random()::text || n || k), 'hex'), ''::bytea)
                        FROM generate_series(1, 4 * {each}) AS k),
                       decode(repeat('ab', {PROOF}), 'hex'), decode(repeat('ab', {PROOF}), 'hex'),
                       gen_random_uuid()
                FROM generate_series(1, {rows}) AS n""")
            row(f"exchanges, {each} a report", 128_000, size(owner) - before, time.monotonic() - since)
        before, since = size(owner), time.monotonic()
        evidence = f"decode(repeat('ab', {BODY + PROOF}), 'hex')"
        sql(owner, f"""SET session_replication_role = replica;
            INSERT INTO lanes (tenant_id, bundle_id, lane, last_at, head_n, ticket, receipt)
            SELECT '{tenant}', gen_random_uuid(), 0, 1, 0, {evidence}, {evidence}
            FROM generate_series(1, 100000)""")
        row("lanes", 100_000, size(owner) - before, time.monotonic() - since)
        # A replica's sweep asks for one tenant after the other.
        count = len(tokens)
        since = time.monotonic()
        script = "SELECT set_config('armour.tenant', gen_random_uuid()::text, false);" \
                 "UPDATE endpoints SET lost_at = now() WHERE tenant_id = armour_tenant() AND lost_at IS NULL" \
                 " AND state = 'active' AND last_seen_at < now() - interval '90 s';\n"
        subprocess.run(["psql", "-qAt", database], input=script * count, text=True, check=True,
                       stdout=subprocess.DEVNULL)
        took = time.monotonic() - since
        print(f"{'looking for lost endpoints':34}{count:>9} tenants{1e6 * took / count:>9.0f} µs each")
        resident = [
            line for line in Path(f"/proc/{plane.pid}/status").read_text().splitlines() if "VmRSS" in line
        ]
        print("control plane afterwards:", resident[0].split(":")[1].strip())


if __name__ == "__main__":
    assert PLATFORM
    main()
