"""What a suite is: a server that none of us wrote, and cases of clients that none of us wrote.

Each module of a suite has
    NAME        what it is called in the table and on the command line
    serve(tools, folder)            a context: the server, running
    ready(address)                  whether calls to it are served
    cases(tools, folder, address, direct)   pairs of a case's name and its outcome
and may have
    consumer_options(folder)        options of the consumer's agent
`address` is the server's own, or that of a consumer's agent whose pair leads to it. A case that
only an agent can serve, such as HTTP/2 before a server of HTTP/1.1, is left out if `direct`.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

import requests

PASS = "pass"
# Seconds that one case may take.
CASE = 120
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Tools:
    """Where scripts/interop has installed what the suites need."""

    folder: Path
    # Autobahn's cases, if not all.
    wanted: list[str] | None = None

    def program(self, name: str) -> str:
        found = self.folder / name
        assert found.exists(), f"{found} is missing; `make interop` installs it"
        return str(found)

    def node(self, script: str, *arguments) -> list[str]:
        """A command that runs a script of this folder, which finds its packages by the variable."""
        return ["node", str(HERE / script), str(self.folder / "node_modules/undici/index.js"),
                *map(str, arguments)]

    def java(self, source: str, *arguments) -> list[str]:
        """A command that runs a source file of this folder, compiled in memory."""
        return ["java", "-XX:TieredStopAtLevel=1", str(HERE / source), *map(str, arguments)]


@dataclass(frozen=True)
class Server:
    """Where a server listens on 127.0.0.1, and what the producer's agent before it is told."""

    port: int
    options: tuple[str, ...] = ()


def answers(address: str, scheme: str = "http") -> bool:
    """Whether a GET is served, and not refused by an agent."""
    with warnings.catch_warnings(), contextlib.suppress(requests.RequestException):
        # Certificates are the run's own.
        warnings.simplefilter("ignore")
        return requests.get(f"{scheme}://{address}/hello", timeout=CASE, verify=False).status_code < 500
    return False


def certificate(folder) -> list[str]:
    """Options by which a program of Armour's serves TLS, with a certificate of its own."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", chain],
                   check=True, capture_output=True)
    return ["--tls-cert-file", str(chain), "--tls-key-file", str(key)]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tried(check, *arguments) -> str:
    """The outcome of a case: what `check` returns, or else why it failed."""
    try:
        return check(*arguments) or PASS
    except Exception as error:  # whatever a client raises is that case's outcome
        return failed(f"{type(error).__name__} {error}")


def failed(why: str) -> str:
    return "FAIL: " + re.sub(r"\s+", " ", re.sub(r"127\.0\.0\.1:\d+", "…", why)).strip()[:160]


def ran(command: list[str], told: str = "", **options) -> str:
    """Runs a client: it passes by ending with 0, having printed what is to be told."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=CASE, **options)
    if done.returncode == 0 and told in done.stdout:
        return PASS
    lines = (done.stderr or done.stdout).splitlines()
    lines = [line for line in lines if re.search(r"\w+(Error|Exception)\b|FATAL|failed", line)] or lines
    return failed(lines[0] if lines else f"exit code {done.returncode}")


def in_turns(command: list[str], step, count: int) -> str:
    """Runs a client that prints a line for each event; `step` lets the next one be sent."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    watch = subprocess.Popen(["sh", "-c", f"sleep {CASE}; kill -9 -{process.pid}"],
                             start_new_session=True)
    try:
        seen = 0
        for line in process.stdout:
            if line.startswith("data: "):
                seen += 1
                step()
        error = process.stderr.read()
        code = process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(watch.pid, signal.SIGKILL)
        watch.wait()
    if code == 0 and seen == count:
        return PASS
    return failed(f"{seen} events, exit code {code}, {error[-300:]}")


@contextlib.contextmanager
def running(command: list, port: int, log: Path):
    """A server's process, once it listens."""
    from control_plane import until

    with open(log, "wb") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=out)
    try:
        until(f"{command[0]} on port {port}", lambda: listens(port))
        yield process
    finally:
        process.kill()
        process.wait()
