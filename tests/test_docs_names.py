"""What pages name in code font is there: kinds, problem types, events, audit actions, metrics,
alerts, flags, variables, commands, targets of make, fields of policies, files, tests. And a
figure that was measured stands on one page.
"""

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from control_plane import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md")) + [
    ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")
]
API = json.loads((ROOT / "openapi" / "openapi.json").read_text())
SCHEMAS = API["components"]["schemas"]
# Flags of other programs that pages call.
FOREIGN = set("""
    --bundles --bystanders --clones --dry-run --from-file --from-literal --help --http2
    --no-default-features --only --replicas --soak --superseded --type --with-key
""".split())
# Numbers that a page may repeat: they are chosen, not measured, or are anybody's round figure.
CHOSEN = {"1,024", "1,184", "65,535", "65,536", "10,000", "15,000", "20,000"}


def text_of(page: Path) -> str:
    return page.read_text()


def code_of(page: Path) -> list[str]:
    """Blocks and spans in code font."""
    text = text_of(page)
    fence = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = fence.findall(text)
    text = fence.sub("", text)
    indented = re.compile(r"(?:^(?: {4,}|\t).*\n)+", re.MULTILINE)
    # Continued items of a list are indented as well, and hold spans.
    found += [block for block in indented.findall(text)]
    found += [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    return found


def named(pattern: str, pages=None) -> dict[str, set[str]]:
    """What a pattern finds in code font, and on which pages."""
    found = defaultdict(set)
    for page in pages or PAGES:
        for code in code_of(page):
            for name in re.findall(pattern, code):
                found[name].add(page.name)
    return found


def missing(found: dict[str, set[str]], known) -> dict[str, set[str]]:
    return {name: pages for name, pages in found.items() if name not in known}


@cache
def sources() -> dict[Path, str]:
    """All that is written in this repository but its pages."""
    kinds = {".rs", ".py", ".ts", ".tsx", ".toml", ".yaml", ".yml", ".json", ".sql", ".mjs", ".tpl"}
    folders = ["crates", "services", "tests", "benches", "helm", "migrations", "openapi", "scripts",
               "web-console"]
    files = [ROOT / name for name in ("Makefile", "Dockerfile", "Cargo.toml", "deny.toml", "clippy.toml")]
    for folder in folders:
        for file in (ROOT / folder).rglob("*"):
            skip = {"node_modules", "target", ".venv", "dist", "corpus", "artifacts"}
            if skip & set(file.parts) or not file.is_file() or file.name == Path(__file__).name:
                continue
            if file.suffix in kinds or folder == "scripts":
                files.append(file)
    return {file: file.read_text(errors="replace") for file in files}


@cache
def reference() -> str:
    """The programs' own command lines: crates/reference compares them with this page."""
    return (DOCS / "configuration.md").read_text()


def enum(name: str) -> list[str]:
    return SCHEMAS[name]["enum"]


def words(*files: str) -> set[str]:
    """Words on the wire of an enum that names each."""
    text = "".join((ROOT / file).read_text() for file in files)
    return set(re.findall(r'strum\(serialize = "([^"]+)"\)', text))


def events() -> set[str]:
    return words("crates/api/src/events.rs")


def audit_actions() -> set[str]:
    folder = ROOT / "crates/storage/src/audit_actions"
    return words(*(str(file.relative_to(ROOT)) for file in folder.glob("*.rs")))


def problem_types() -> set[str]:
    of_api = set(re.findall(r"urn:armour:problem:([a-z-]+)", json.dumps(API)))
    # A test of the endpoint's crate compares that table with its enum.
    rows = re.findall(r"^\| [45]\d\d \| `([a-z-]+)` \|", (DOCS / "agent.md").read_text(), re.MULTILINE)
    return of_api | set(rows)


def row(page: str, name: str) -> str:
    """A table's row, by what it begins with."""
    [found] = re.findall(rf"^\| `{name}` \|.*$", (DOCS / page).read_text(), re.MULTILINE)
    return found


def first_column(page: str, heading: str) -> set[str]:
    """What is in code font in the first column of the table below a text."""
    _, after = (DOCS / page).read_text().split(heading, 1)
    table = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    cells = [line.split("|")[1] for line in table.group().splitlines()[2:]]
    return {name for cell in cells for name in re.findall("`([^`]+)`", cell)}


def test_kinds_of_collisions_are_those_that_the_ledger_finds():
    kinds = enum("CollisionKind")
    assert len(kinds) > 5
    assert first_column("runbooks/collision.md", "**You see**") == set(kinds)
    assert first_column("audit.md", "## Evidence of a collision") == set(kinds)
    counted = row("metrics.md", "armour_collisions_total").split("recorded: ")[1]
    assert counted.strip(" |").split(", ") == kinds


def test_verdicts_that_are_counted_are_those_of_the_ledger():
    verdicts = [one["properties"]["verdict"]["enum"][0] for one in SCHEMAS["ReportVerdict"]["oneOf"]]
    counted = row("metrics.md", "armour_ticket_reports_total").split("lane: ")[1]
    assert set(counted.strip(" |").split(", ")) == set(verdicts)


def test_the_alert_on_collisions_tells_every_kind():
    rules = (ROOT / "helm/armour/templates/prometheusrule.yaml").read_text()
    expressions = re.findall(r"armour_collisions_total\{([^}]*)\}", rules)
    assert expressions and not any("kind" in one for one in expressions)
    kinds = re.findall(r'armour_ticket_reports_total.*verdict="([a-z-]+)"', rules)
    verdicts = [one["properties"]["verdict"]["enum"][0] for one in SCHEMAS["ReportVerdict"]["oneOf"]]
    assert kinds and set(kinds) <= set(verdicts)


def test_kinds_of_events_are_all_told_of():
    assert first_column("webhooks.md", "## Kinds") == events()


def test_events_and_audit_actions_exist():
    known = events() | audit_actions()
    prefixes = "|".join(sorted({word.split(".")[0] for word in known}))
    found = named(rf"(?<![\w./-])((?:{prefixes})\.[a-z-]+)(?![\w./(-])")
    found = {name: pages for name, pages in found.items()
             if not re.search(r"\.(json|md|rs|py|pem|cert|svg|yaml|toml|sql|age|com|internal)$", name)}
    # An object's member in an example.
    found.pop("pair.state", None)
    assert len(found) > 10
    assert not missing(found, known)


def test_problem_types_exist():
    known = problem_types()
    assert len(known) > 50
    found = named(r"(?:urn:armour:)?problem:([a-z][a-z-]+)")
    for page in PAGES:
        for name in re.findall(r"\b[45]\d\d `([a-z][a-z-]+)`", text_of(page)):
            found[name].add(page.name)
    assert len(found) > 5
    assert not missing(found, known)


def test_metrics_and_alerts_exist():
    listed = set(re.findall(r"^\| `(armour_\w+)` \|", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    assert len(listed) > 15
    modules = r"armour_(?:client|endpoint|agent|api|control_plane|cli|op|dev|reference)\b"
    found = named(r"\b(armour_[a-z0-9_]+)")
    found = {name: pages for name, pages in found.items() if not re.fullmatch(modules, name)}
    # Of a token, a form of which access.md shows.
    found.pop("armour_op_", None)
    # A role of the database.
    found.pop("armour_service", None)
    # Instruments are named without what the exporter puts at the end.
    assert not missing(found, listed | {name.removesuffix("_total") for name in listed})
    text = "".join(text for file, text in sources().items() if file.suffix == ".rs")
    for name in listed:
        base = re.sub("_(total|seconds)$", "", re.sub("_total$", "", name))
        assert f'"{base}"' in text, name
    # What pods are scaled by.
    scaled = (ROOT / "helm/armour-agent/templates/hpa.yaml").read_text()
    scaled = set(re.findall(r"\barmour_agent_[a-z_]+", scaled))
    assert scaled and scaled <= listed, scaled - listed
    rules = (ROOT / "helm/armour/templates/prometheusrule.yaml").read_text()
    alerts = set(re.findall(r"alert: (\w+)", rules))
    assert not missing(named(r"\b(Armour[A-Z]\w+)"), alerts)


def test_flags_and_variables_exist():
    flags = set(re.findall(r"--[a-z][a-z0-9-]+", reference())) | FOREIGN
    found = named(r"(?<![\w-])(--[a-z][a-z0-9-]+)")
    assert len(found) > 40
    assert not missing(found, flags)
    text = reference() + "".join(sources().values())
    variables = named(r"\b((?:ARMOUR|OTEL)_[A-Z0-9_]+)")
    unknown = {name: pages for name, pages in variables.items() if name not in text}
    assert not unknown


def test_commands_and_targets_exist():
    lines = re.findall(r"^\| `([^`]+)` \|", reference().split("## Commands of `armour`")[1], re.MULTILINE)
    commands = {" ".join(re.split(r" [<\[-]", line)[0].split()) for line in lines}
    groups = {command.split()[0] for command in commands} | {"help"}
    for page in PAGES:
        for code in code_of(page):
            for line in code.splitlines():
                said = re.match(r"(?:\s*\$ )?\s*(?:target/\w+/)?armour((?: --?[\w-]+(?: [\w./~]+)?)*) ([a-z][\w-]*)"
                                r"(?: ([a-z][a-z-]*))?(?: |$)", line)
                if not said or said.group(2) not in groups:
                    assert not said or page.name == "README.md" or said.group(2) in groups, line
                    continue
                one, two = said.group(2), f"{said.group(2)} {said.group(3)}"
                assert one in commands or one == "help" or two in commands or not said.group(3), (
                    page.name, line)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = named(r"(?<![\w-])make ((?:[a-z-]+)(?: [a-z-]+)*)$")
    assert found
    for said, pages in found.items():
        assert set(said.split()) <= targets, (said, pages)


def test_fields_of_policies_exist():
    fields = set(SCHEMAS["Policy"]["properties"])
    text = "".join(text for file, text in sources().items() if file.suffix == ".rs")
    for name, pages in named(r"\b([a-z]+(?:_[a-z]+)*_ms|max_lanes)\b").items():
        assert name in fields or re.search(rf"\b{name}\b", text), (name, pages)


def test_routes_exist():
    def shape(path: str) -> str:
        return re.sub(r"\{[^}]*\}|<[^>]*>", "{}", path.split("?")[0].rstrip("/"))

    routes = {shape(path): set(methods) for path, methods in API["paths"].items()}
    found = named(r"(?:\b(GET|POST|PUT|DELETE) )?(/v1(?:/[\w{}<>.-]+)+)")
    assert len(found) > 30
    for (method, path), pages in found.items():
        assert shape(path) in routes or shape(path) == "/v1/openapi.json", (path, pages)
        assert not method or method.lower() in routes[shape(path)], (method, path, pages)


def test_labels_exist():
    text = "".join(text for file, text in sources().items() if file.suffix == ".rs")
    found = named(r"\barmour/(\d [a-z][a-z ]*[a-z])", [DOCS / "protocol.md", DOCS / "keys.md",
                                                       DOCS / "audit.md"])
    assert len(found) > 20
    unknown = {label: pages for label, pages in found.items() if f"armour/{label}" not in text}
    assert not unknown, unknown


def test_files_exist():
    folders = "crates|services|tests|benches|helm|migrations|openapi|scripts|web-console|docs"
    found = named(rf"(?<![\w./-])((?:{folders})/[\w./-]*\w)(?![\w<*])")
    assert len(found) > 40
    made = {"openapi/python/dist"}
    absent = {name: pages for name, pages in found.items()
              if not (ROOT / name).exists() and name not in made}
    assert not absent


# What the pages on security and on what tests hold call places of tests by.
TESTS = {"P": "crates/protocol/tests", "C": "services/control-plane/tests",
         "S": "services/control-plane/src", "E": "tests/e2e/tests",
         "A": "tests/test_experiments.py", "R": "tests/test_requirements.py",
         "T": "tests/test_endpoints.py"}


def place_of_tests(token: str) -> str | None:
    """The text of the tests that a token in code font stands for, if it is a place of tests."""
    letter, _, name = token.partition("/")
    if letter in TESTS and (bool(name) == (letter in "PCES")):
        place = ROOT / TESTS[letter] / name if name else ROOT / TESTS[letter]
        if name and not place.is_dir():
            place = place.with_suffix(".rs")
    elif token.startswith(("crates/", "services/", "tests/")):
        place = ROOT / token
    else:
        return None
    assert place.exists(), token
    files = [place] if place.is_file() else [*place.rglob("*.rs"), *place.rglob("*.py")]
    return "".join(file.read_text() for file in files)


def has_test(text: str, name: str) -> bool:
    """Whether a test's name has this part."""
    python = rf"def test_\w*{name}"
    rust = rf"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn \w*{name}"
    # Of proptest's macro, where the attribute may be inherited.
    return bool(re.search(f"{python}|{rust}", text)) or bool(
        "proptest!" in text and re.search(rf"\n    fn \w*{name}\w*\(", text))


@pytest.mark.parametrize("page", ["security.md", "hardening.md"])
def test_tests_that_pages_name_exist(page):
    checked = 0
    for line in (DOCS / page).read_text().splitlines():
        if not line.startswith("|"):
            continue
        where = None
        for name, number in re.findall(r"`([^`]+)`( p\d)?", line):
            place = place_of_tests(name)
            if place is not None:
                where = place
                if number:
                    assert re.search(rf"def test_(r\d+_)?{number.strip()}_", where), line
                checked += 1
            elif where and re.fullmatch(r"[a-z0-9_]+…?", name) and "_" in name:
                assert has_test(where, name.rstrip("…")), (name, line)
                checked += 1
    assert checked > 80


def test_each_property_on_the_page_on_what_tests_hold_names_its_tests():
    rows = [line.split("|") for line in (DOCS / "hardening.md").read_text().splitlines()
            if line.startswith("| ") and not line.startswith("| property")]
    assert len(rows) > 40
    assert not [row for row in rows if unnamed(row[2]) or "`" not in row[2]]


def attacks() -> dict[str, str]:
    """The cells *tested in* of the table *Attacks*, by attack."""
    _, after = (DOCS / "security.md").read_text().split("\n## Attacks\n", 1)
    table = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE).group().splitlines()
    titles = [cell.strip() for cell in table[0].split("|")]
    at = titles.index("tested in")
    return {row.split("|")[1].strip(): row.split("|")[at] for row in table[2:]}


def unnamed(cell: str) -> list[str]:
    """Places of tests that are not followed by the name of a test."""
    found, last = [], None
    for token in re.findall("`([^`]+)`", cell):
        if place_of_tests(token) is not None:
            found += [last] if last else []
            last = token
        else:
            last = None
    return found + ([last] if last else [])


def test_each_attack_on_the_page_on_security_names_its_tests():
    """That a file is there says nothing of what is tried in it."""
    found = attacks()
    assert len(found) > 20
    assert not {attack: unnamed(cell) for attack, cell in found.items() if unnamed(cell)}
    assert all(re.search("`[a-z0-9_]+_[a-z0-9_]+`", cell) for cell in found.values())
    # And this would tell.
    assert unnamed("`P/v2_attacks`, `A` p1, `E/thefts` `stolen_disk`") == ["P/v2_attacks", "A"]


def test_each_requirement_of_the_page_on_security_has_a_test_of_its_name():
    rows = re.findall(r"^\| (R\d+) \|", (DOCS / "security.md").read_text(), re.MULTILINE)
    assert rows == [f"R{n}" for n in range(1, len(rows) + 1)] and len(rows) == 13
    text = "".join((ROOT / TESTS[letter]).read_text() for letter in "AR")
    assert not [row for row in rows if f"def test_{row.lower()}_" not in text]


def test_a_word_in_code_font_is_written_somewhere_in_the_code():
    """Kinds, states and names that went with an earlier version do not live on in pages."""
    # What the database has been tells of what is gone as well.
    now = [text for file, text in sources().items() if file.suffix != ".sql"]
    everything = "\n".join(now)
    known = set(re.findall(r"[A-Za-z][A-Za-z0-9_-]*", everything))
    known |= {word for name in known for word in name.split("-")}
    # Variants whose words on the wire are derived from their names.
    known |= {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in known if name[:1].isupper()}
    found = named(r"^([a-z][a-z0-9]*(?:[_-][a-z0-9]+)*)$")
    assert len(found) > 150
    # Of other programs, of the examples, of the notation of formulas.
    known |= {"extra_float_digits", "master-key-1", "sampled", "ss"}
    unknown = missing(found, known)
    # Metrics, and parts of tests' names, are compared above.
    unknown = {name: pages for name, pages in unknown.items()
               if not name.startswith("armour_") and not (pages <= {"security.md", "hardening.md"} and name in everything)}
    assert not unknown


def test_a_figure_that_was_measured_stands_on_one_page():
    number = r"\d{1,3}(?:,\d{3})+"
    pages = defaultdict(set)
    for page in PAGES:
        for figure in re.findall(rf"(?<![\d,.]){number}(?![\d,])", text_of(page)):
            if not re.fullmatch(r"10*,000(,000)*|100,000", figure) and figure not in CHOSEN:
                pages[figure].add(page.name)
    assert len(pages) > 40
    twice = {figure: on for figure, on in pages.items() if len(on) > 1}
    assert not twice, twice
