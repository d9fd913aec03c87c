"""Other people's clients and servers with the two agents between them, and without: a table of
each case's outcome, and an end other than 0 if one passes without them alone.

    tests/interop TOOLS [--only SUITE…] [--without SUITE…] [--cases CASE…] [--programs FOLDER] [--all]

Runs below scripts/with-postgres; scripts/interop installs TOOLS first.
"""

import argparse
import collections
import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import agents as agents_of_tests
import autobahn
import control_plane as control_plane_of_tests
import grpc_go
import grpc_python
import h2spec
import http_clients
import sockets
import sockets_http2
from agents import agents
from control_plane import control_plane, until
from suite import Tools, certificate, listens

SUITES = {suite.NAME: suite for suite in [
    grpc_python, grpc_go, sockets, sockets_http2, http_clients, autobahn]}
POLICY = {"max_lanes": 256}


def main() -> int:
    options = arguments()
    agents_of_tests.AGENT = options.programs / "armour-agent"
    tools = Tools(options.tools.resolve(), options.cases)
    table = Table(options.all)
    with tempfile.TemporaryDirectory(prefix="armour-interop-") as made:
        folder = Path(made)
        control_plane_of_tests.PROGRAM = options.programs / "armour-control-plane"
        with control_plane(folder) as plane:
            for name in [name for name in options.only if name not in options.without]:
                (folder / name).mkdir()
                if name == "h2spec":
                    table.add_alone(name, spec(tools, folder / name, plane))
                else:
                    between(tools, folder / name, plane, SUITES[name], table)
    return table.end()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", type=Path, help="where scripts/interop has installed the clients")
    names = [*SUITES, "h2spec"]
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="these suites alone")
    parser.add_argument("--without", nargs="+", default=[], choices=names, help="all but these")
    parser.add_argument("--cases", nargs="+", help="of Autobahn's cases these, such as 9.*")
    parser.add_argument("--programs", type=Path, default=control_plane_of_tests.ROOT / "target/debug",
                        help="the folder of Armour's programs")
    parser.add_argument("--all", action="store_true", help="print every case of the large suites")
    return parser.parse_args()


def between(tools, folder, plane, suite, table):
    """A suite's cases without agents, then with."""
    with suite.serve(tools, folder) as server:
        address = f"127.0.0.1:{server.port}"
        direct = timed(suite.cases(tools, folder, address, True))
        with agents(plane, folder, POLICY) as made:
            made.producer("--upstream", f"http://{address}", *server.options)
            options = getattr(suite, "consumer_options", lambda _: [])(folder)
            _, base = made.consumer(*options)
            until(f"{suite.NAME} through the agents", lambda: suite.ready(base))
            through = timed(suite.cases(tools, folder, base, False))
    table.add(suite.NAME, direct, through)


def spec(tools, folder, plane):
    """h2spec before the consumer's agent, with and without TLS, the producer's and the control
    plane."""
    found = {}
    with http_clients.serve(tools, folder) as server, agents(plane, folder, POLICY) as made:
        _, port = made.producer("--upstream", f"http://127.0.0.1:{server.port}")
        _, base = made.consumer()
        until("the agents", lambda: http_clients.ready(base) and listens(port))
        found |= h2spec.cases(tools, folder, "consumer's agent", base, "/hello")
        found |= h2spec.cases(tools, folder, "producer's agent", f"127.0.0.1:{port}", "/")
        found |= h2spec.cases(tools, folder, "control plane", plane.base.split("//")[1], "/v1/health")
    with http_clients.serve(tools, folder) as server, agents(plane, folder / "tls", POLICY) as made:
        made.producer("--upstream", f"http://127.0.0.1:{server.port}")
        _, base = made.consumer(*certificate(folder))
        until("the agents", lambda: http_clients.ready(base, "https"))
        found |= h2spec.cases(tools, folder, "consumer's agent with TLS", base, "/hello", tls=True)
    return found


def timed(cases) -> dict[str, str]:
    """Outcomes by the cases' names; tells of each as it is there."""
    found, since = {}, time.monotonic()
    for name, outcome in cases:
        found[name] = outcome
        print(f"[{time.monotonic() - since:6.1f} s] {name}: {outcome}", file=sys.stderr, flush=True)
        since = time.monotonic()
    return found


class Table:
    """Rows of Markdown, printed once all is done."""

    def __init__(self, every: bool):
        self.every, self.rows, self.worse = every, [], 0

    def add(self, suite: str, direct: dict[str, str], through: dict[str, str]):
        large = len(through) > 200 and not self.every
        for name, outcome in through.items():
            alone = direct.get(name, "–")
            worse = alone not in ["–", outcome] and not alone.startswith("FAIL")
            worse |= alone == "–" and outcome.startswith("FAIL")
            self.worse += worse
            if not large or alone != outcome:
                self.rows.append((name, alone, outcome + (" ← worse" if worse else "")))
        counts = [tally(direct), tally(through)]
        self.rows.append((f"**{suite}: {len(direct)} cases, {len(through)} through agents**", *counts))

    def add_alone(self, suite: str, found: dict[str, str]):
        for name, outcome in found.items():
            if outcome.startswith("FAIL") or self.every:
                self.rows.append((name, "", outcome))
        by_server = collections.defaultdict(dict)
        for name, outcome in found.items():
            by_server[name.split(":")[0]][name] = outcome
        for server, outcomes in by_server.items():
            self.rows.append((f"**{server}: {len(outcomes)} cases**", "", tally(outcomes)))

    def end(self) -> int:
        print("| case | without Armour | through two agents |\n|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(part.replace("|", "\\|") for part in row) + " |")
        print(f"{self.worse} cases are worse through the agents than without them")
        return 1 if self.worse else 0


def tally(found: dict[str, str]) -> str:
    counts = collections.Counter(outcome.split(":")[0] for outcome in found.values())
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())


with contextlib.suppress(KeyboardInterrupt):
    sys.exit(main())
