"""What attacks on running agents have in common: an API that notes what it runs, what is on the
wire, what is in a process's memory, and what a stolen lane makes of both.
"""

import contextlib
import threading
from dataclasses import dataclass

import requests

import bhttp
import consumer as consumer_module
from agents import Agent
from consumer import PATH, Consumer, ConsumerLane, copied
from control_plane import PATIENCE
from protocol import TICKET, WrongKey, expanded, extract
from sealing import issue
from test_interop import Echo, running


class Counter(Echo):
    """Notes what it runs."""

    ran: list[str] = []
    gate = threading.Event()

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        Counter.ran.append(f"{self.command} {self.path}")
        if "slow" in self.path:
            Counter.gate.wait(PATIENCE)
        answer = b"ran " + body
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any


@contextlib.contextmanager
def counted():
    """The address of an API that has run nothing yet."""
    Counter.ran, Counter.gate = [], threading.Event()
    with running(Counter) as port:
        yield f"http://127.0.0.1:{port}"


def times(path: str) -> int:
    return sum(path in one for one in Counter.ran)


def memory(agent: Agent) -> bytes:
    """What an agent's proxy has in memory that it may write. Its enclave is another process."""
    held, pid = [], agent.process.pid
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            place, rights = line.split()[:2]
            first, last = (int(one, 16) for one in place.split("-"))
            if rights.startswith("rw"):
                with contextlib.suppress(OSError):
                    mem.seek(first)
                    held.append(mem.read(last - first))
    return b"".join(held)


def refused(consumer: Consumer, path: str) -> bool:
    """Whether a copy of a lane gets no answer. One that retires as it answers breaks off."""
    wire = copied(consumer.lane).begin(bhttp.write_request("GET", path, {"host": "x"}, b""))
    return status_of(consumer, wire) != 200


def status_of(consumer: Consumer, wire: bytes) -> int | None:
    """The status of the whole answer to a request, or none if it broke off."""
    try:
        return requests.post(consumer.grant.address + PATH, wire, timeout=PATIENCE).status_code
    except requests.exceptions.ChunkedEncodingError:
        return None


def recorded(consumer: Consumer) -> list[bytes]:
    """The requests that are sent from now on, as whoever is on the path has them."""
    wires, deliver = [], consumer.deliver
    consumer.deliver = lambda wire: wires.append(wire) or deliver(wire)
    return wires


@dataclass
class Sent:
    """A message of the Python consumer's: what both ends agreed on and its key; and what anybody
    knows who was on the path, the chain before it and the transcript before and after."""

    agreed: bytes
    key: bytes
    link: bytes
    before: bytes
    after: bytes


def agreements(monkeypatch) -> list[Sent]:
    """Of each message that the Python consumer sends from now on."""
    seen = []

    def spy(lane, kind, n, moment, mode, share, agreed, *rest, **more):
        link, before = lane.link, lane.transcript
        head, key = issue(lane, kind, n, moment, mode, share, agreed, *rest, **more)
        seen.append(Sent(agreed, key, link, before, lane.transcript))
        return head, key

    monkeypatch.setattr(consumer_module, "issue", spy)
    return seen


def at(lane: ConsumerLane, sent: Sent) -> ConsumerLane:
    """A thief's copy of a lane with what has become public since it was stolen."""
    lane = copied(lane)
    lane.lane.link, lane.lane.transcript = sent.link, sent.before
    return lane


def key_of(lane: ConsumerLane, wire: bytes, agreed: bytes) -> bytes | None:
    """The key of a recorded request, for who has a lane's state and this agreed secret. None if
    the roots lead to another; whatever else is wrong with an attempt is a fault of the test."""
    with contextlib.suppress(WrongKey):
        return follow(copied(lane), wire, agreed)
    return None


def follow(lane: ConsumerLane, wire: bytes, agreed: bytes) -> bytes:
    """The same; the lane has moved on."""
    head = lane.bundle.passed(wire[: int.from_bytes(wire[:2]) + 2], "request")
    return lane.lane.message(head, TICKET, agreed)[1]


def led_to(secret: bytes, sent: Sent) -> list[bytes]:
    """All that the schedule's steps make of a secret beside a message."""
    inputs = [b"", sent.before, sent.after, sent.agreed + sent.before, sent.agreed + sent.after]
    steps = [secret, *(extract(secret, one) for one in inputs)]
    return steps + [expanded(one, label) for one in steps for label in ("key", "commit", "next")]
