"""A pair of agents of the tests' own, below a control plane of the tests' own."""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import requests

from control_plane import PATIENCE, ROOT, ControlPlane, free_port, until

AGENT = ROOT / "target/debug/armour-agent"


class Tenant:
    """A tenant with one pair, and what its endpoints enrol with."""

    def __init__(self, plane: ControlPlane, name: str, policy: dict | None = None):
        made = plane.tenant(name)
        self.plane, self.id, self.token = plane, made["tenant"]["id"], made["token"]
        self.consumer = self.post("/v1/consumers", {"name": "shop"})["id"]
        self.pairs = []
        self.producers = []
        self.add_pair(policy)

    def post(self, path: str, body: dict):
        return self.plane.call("POST", path, self.token, body)

    def get(self, path: str):
        return self.plane.call("GET", path, self.token)

    def add_pair(self, policy: dict | None = None) -> str:
        """A pair of the consumer with a producer of its own."""
        producer = self.post("/v1/producers", {"name": f"stock {len(self.pairs)}"})["id"]
        pair = self.post("/v1/pairs", {
            "consumer_id": self.consumer,
            "producer_id": producer,
            "policy": {"report_interval_ms": 50, **(policy or {})},
        })
        self.producers.append(producer)
        self.pairs.append(pair["id"])
        return pair["id"]

    def enrolment(self, role: str, party: str) -> str:
        body = {"role": role, "party_id": party}
        return self.post("/v1/enrolment-tokens", body)["token"]


class Agent:
    """An agent's process."""

    def __init__(self, folder: Path, role: str, token: str, control: str, *arguments, **env: str):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "enrolment").write_text(token)
        self.folder = folder
        self.process = subprocess.Popen(
            [AGENT, role, "--control-plane", control, "--data-dir", folder / "data",
             "--enrol-token-file", folder / "enrolment", *map(str, arguments)],
            env={**os.environ, **env}, stderr=open(folder / "log", "ab"))

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()


class Agents:
    """Agents that end with the test."""

    def __init__(self, stack: contextlib.ExitStack, tenant: Tenant, folder: Path):
        self.stack, self.tenant, self.folder = stack, tenant, folder

    def start(self, name: str, role: str, party: str, *arguments, **env: str) -> Agent:
        token = self.tenant.enrolment(role, party)
        agent = Agent(self.folder / name, role, token, self.tenant.plane.base, *arguments, **env)
        self.stack.callback(agent.stop)
        return agent

    def producer(self, *arguments, number: int = 0, listen: int | None = None, **env: str):
        """A producer's agent, and the port that it listens on."""
        port = listen or free_port()
        party = self.tenant.producers[number]
        agent = self.start(f"producer-{number}", "producer", party,
                           "--listen", f"127.0.0.1:{port}", *arguments, **env)
        return agent, port

    def consumer(self, *arguments, **env: str):
        """A consumer's agent, and the address that applications call."""
        port = free_port()
        # The machine may be busy.
        env = {"ARMOUR_AGENT_LANE_WAIT_MS": "10000"} | env
        agent = self.start("consumer", "consumer", self.tenant.consumer,
                           "--listen", f"127.0.0.1:{port}", *arguments, **env)
        return agent, f"127.0.0.1:{port}"


@contextlib.contextmanager
def agents(plane: ControlPlane, folder: Path, policy: dict | None = None):
    with contextlib.ExitStack() as stack:
        yield Agents(stack, Tenant(plane, uuid.uuid4().hex, policy), folder)


def served(url: str, agent: Agent | None = None, **options) -> requests.Response:
    """The first answer that is not the agent's own refusal, or a lack of one."""

    def ask():
        assert agent is None or agent.process.poll() is None, agent.log()
        try:
            answer = requests.get(url, timeout=PATIENCE, **options)
        except requests.ConnectionError:
            return None
        return answer if answer.status_code < 502 else None

    return until(url, ask)


def wait_for_port(port: int):
    import socket

    def connect():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    until(f"port {port}", connect)
    time.sleep(0.05)
