"""The rules of migrations/README.md that can be read from the text of a migration."""

import re

import pytest

from control_plane import ROOT

FILES = sorted((ROOT / "migrations").glob("*.sql"))
# Written before the first release, when there was no earlier version to work beside.
FIRST_RELEASE = 5

CONTRACTS = r"\bDROP\s+(TABLE|COLUMN|VIEW|FUNCTION)\b"
NEVER = r"\bRENAME\b|\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE\b"


def statements(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def complaints(number: int, text: str) -> list[str]:
    """What breaks the rules in a migration."""
    sql = statements(text)
    found = []
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", sql, re.S):
        if "tenant_id" not in body:
            continue
        key = re.search(r"PRIMARY KEY \((\w+)|(\w+)\s+uuid\s+PRIMARY KEY", body)
        if not key or "tenant_id" not in key.groups():
            found.append(f"{table}: tenant_id does not lead its primary key")
    if number <= FIRST_RELEASE:
        return found
    if re.search(NEVER, sql, re.I):
        found.append("renames or changes a type in place: add, copy, drop")
    # What a function does when it is called changes no schema now.
    if re.search(CONTRACTS, re.sub(r"\$\$.*?\$\$", "", sql, flags=re.S), re.I) and not text.startswith("-- Contracts: "):
        found.append("drops what the version before may read; see Contract in the README")
    if not text.startswith(("-- Expands", "-- Contracts: ")):
        found.append("does not begin with whether it expands or contracts")
    return found


def test_numbers_have_no_holes():
    assert [int(file.name[:4]) for file in FILES] == list(range(1, len(FILES) + 1))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_migration_keeps_the_rules(file):
    assert complaints(int(file.name[:4]), file.read_text()) == []


@pytest.mark.parametrize("text", [
    "-- Expands only.\nALTER TABLE pairs DROP COLUMN policy;\n",
    "-- Expands only.\nALTER TABLE pairs RENAME COLUMN policy TO rules;\n",
    "-- Expands only.\nALTER TABLE pairs ALTER COLUMN policy TYPE text;\n",
    "ALTER TABLE pairs ADD COLUMN note text;\n",
    "-- Expands only.\nCREATE TABLE notes (\n    tenant_id uuid,\n    id uuid,\n"
    "    PRIMARY KEY (id, tenant_id)\n);\n",
])
def test_a_broken_rule_is_told(text):
    assert len(complaints(9, text)) == 1
