"""Streams that re-key while they flow, through two agents and with either end in Python, and copies
of either end that were taken inside one.
"""

import contextlib
import socket
import struct
import threading
import time

import pytest
import requests
from cryptography.exceptions import InvalidTag

import bhttp
import producer
from agents import AGENT, agents, served, wait_for_port
from consumer import PATH
from control_plane import PATIENCE, control_plane, free_port, until
from hop import Hop, stream
from producer import ProducerLane
from protocol import TICKET, expanded, extract
from test_endpoints import opened
from test_streams import Api

# The least that a policy may say.
OFTEN = {"rekey_bytes": 65_536, "rekey_interval_ms": 1_000}
# As long as a thief takes to be there.
SELDOM = {**OFTEN, "rekey_interval_ms": 8_000}
REKEY = "/armour/v2/rekey"
PIECE = bytes(range(256)) * 512


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


def in_turns(api, connection, head):
    """Sends back each piece of a request as it comes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    lines = connection.makefile("rb")
    while size := int(lines.readline(), 16):
        piece = lines.read(size)
        lines.readline()
        connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    lines.readline()
    connection.sendall(b"0\r\n\r\n")
    return True


def events(api, connection, head):
    """An event stream that is quiet after its first."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 0\n\n")
    connection.settimeout(PATIENCE)
    connection.recv(1)
    return False


def sub_tickets(tenant) -> list[dict]:
    """What the ledger holds of the lines of the exchanges that its bundles' lanes are at."""
    found = []
    for bundle in tenant.get("/v1/bundles")["items"]:
        path = f"/v1/bundles/{bundle['id']}"
        for head in tenant.get(f"{path}/lanes")["items"]:
            at = f"lane={head['lane']}&n={head['n']}"
            found += tenant.get(f"{path}/sub-tickets?{at}")["items"]
    return found


def test_a_stream_re_keys_both_ways_and_the_ledger_has_it_of_both_ends(plane, tmp_path):
    api = Api(in_turns)
    with agents(plane, tmp_path, OFTEN) as made, contextlib.closing(api.listener):
        made.producer("--upstream", f"http://127.0.0.1:{api.port}")
        _, base = made.consumer()
        served(f"http://{base}/ready")
        host, port = base.split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as caller:
            caller.sendall(b"POST /turns HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            lines = caller.makefile("rb")
            for turn in range(1, 4):
                caller.sendall(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
                if turn == 1:
                    while lines.readline() != b"\r\n":
                        pass
                back = b""
                while len(back) < len(PIECE):
                    size = int(lines.readline(), 16)
                    back += lines.read(size)
                    lines.readline()
                assert back == PIECE
                until("the re-keying", lambda: len(sub_tickets(made.tenant)) >= turn)
            caller.sendall(b"0\r\n\r\n")
            assert int(lines.readline(), 16) == 0
        # The lane goes on after it.
        assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"
        assert made.tenant.get("/v1/collisions")["items"] == []


def copied(socket_path) -> bytes:
    with socket.socket(socket.AF_UNIX) as export:
        export.connect(str(socket_path))
        state = b""
        while piece := export.recv(65_536):
            state += piece
        return state


@contextlib.contextmanager
def thief(folder, state: bytes, *arguments):
    """An agent that acts with a copied state; its port."""
    import subprocess

    folder.mkdir()
    (folder / "state").write_bytes(state)
    port = free_port()
    process = subprocess.Popen(
        [AGENT, "clone", "--state", folder / "state", "--data-dir", folder / "data",
         "--listen", f"127.0.0.1:{port}", *arguments], stderr=open(folder / "log", "ab"))
    try:
        wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait(PATIENCE)


@contextlib.contextmanager
def open_stream(base: str):
    """An event stream that goes on."""
    answer = requests.get(f"http://{base}/events", timeout=PATIENCE, stream=True)
    with answer:
        pieces = answer.iter_content(None)
        assert next(pieces) == b"data: 0\n\n"
        yield pieces


def found(tenant, role: str):
    one = until("the collision", lambda: tenant.get("/v1/collisions")["items"])[0]
    assert one["role"] == role
    ended = until("the end of its bundle", lambda: [
        bundle for bundle in tenant.get("/v1/bundles")["items"] if bundle["state"] == "disconnected"])
    assert ended
    return one


def is_cut(pieces) -> bool:
    try:
        for _ in pieces:
            pass
    except requests.RequestException:
        pass
    return True


def test_r6_a_copy_of_the_consumer_that_was_taken_inside_a_stream_is_found(plane, tmp_path):
    api, export = Api(events), tmp_path / "export"
    with agents(plane, tmp_path, OFTEN) as made, contextlib.closing(api.listener):
        made.producer("--upstream", f"http://127.0.0.1:{api.port}")
        _, base = made.consumer("--insecure-export", export)
        served(f"http://{base}/ready")
        with open_stream(base) as pieces:
            until("the re-keying", lambda: sub_tickets(made.tenant))
            with thief(tmp_path / "thief", copied(export)):
                one = found(made.tenant, "consumer")
                assert one["k"] > 0
                # The owner's stream ends as well.
                assert is_cut(pieces)


def test_r13_a_copy_of_the_producer_that_was_taken_inside_a_stream_is_found(plane, tmp_path):
    """It answers a sub-ticket in its owner's place, whose answer is lost."""
    api, export, diverted = Api(events), tmp_path / "export", threading.Event()

    def meddle(hop, path, body):
        if path != REKEY:
            return lambda request: stream(request, requests.post(
                hop.to + path, body, timeout=PATIENCE, stream=True,
                headers={"content-type": "application/octet-stream"}))
        answered = hop.forward(path, body)
        if diverted.is_set() and answered is not None and answered[0] == 200:
            stolen = requests.post(hop.copy + path, body, timeout=PATIENCE)
            if stolen.status_code == 200:
                return 200, stolen.content
        return answered

    listen = free_port()
    with (agents(plane, tmp_path, SELDOM) as made, contextlib.closing(api.listener),
          Hop(f"http://127.0.0.1:{listen}", meddle) as hop):
        made.producer("--upstream", f"http://127.0.0.1:{api.port}", "--address", hop.base,
                      "--insecure-export", export, listen=listen)
        _, base = made.consumer()
        served(f"http://{base}/ready")
        with open_stream(base):
            until("the re-keying", lambda: sub_tickets(made.tenant))
            with thief(tmp_path / "thief", copied(export),
                       "--upstream", f"http://127.0.0.1:{api.port}") as port:
                hop.copy = f"http://127.0.0.1:{port}"
                diverted.set()
                assert found(made.tenant, "producer")["k"] > 0


def opens(ticket, key: bytes, body: bytes, segment: tuple[int, int, int]) -> bool:
    """Whether a key opens one of a request's segments: its number, and where it is."""
    counter, at, end = segment
    header = body[at : at + 4]
    nonce = struct.pack(">4xQ", counter)
    try:
        ticket.bundle.aead(key).decrypt(nonce, body[at + 4 : end], ticket.hash + header)
    except InvalidTag:
        return False
    return True


def segments_of(body: bytes) -> list[tuple[int, int, int]]:
    found, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at + 1 : at + 4])
        found.append((len(found), at, end))
        at = end
    return found


class Watched(ProducerLane):
    """Keeps the keys and roots of each epoch, as a thief of all of them would."""

    def __init__(self, *given):
        super().__init__(*given)
        self.roots, self.bodies = [], []

    def rekey(self, wire: bytes) -> bytes:
        self.roots.append(self.lane.stream)
        return super().rekey(wire)

    def conclude(self, body: bytes, clock, serve) -> bytes:
        (ticket, key), epochs = self.asked, list(self.lane.epochs)
        if epochs:
            self.roots.append(self.lane.stream)
            keys = [key, *(epoch.keys[TICKET] for epoch in epochs)]
            self.bodies.append((ticket, keys, body))
        return super().conclude(body, clock, serve)


def in_pieces(head: bytes, turns: int, pause: float):
    """A request's body, with time to re-key between its pieces."""
    for turn in range(turns):
        yield head + bytes([turn]) * len(PIECE)
        time.sleep(pause)


def test_r5_one_epochs_key_opens_nothing_of_another(plane, tmp_path, monkeypatch):
    """The consumer's agent re-keys the stream that it sends to a producer in Python, which keeps
    every key."""
    monkeypatch.setattr(producer, "ProducerLane", Watched)
    taken = []

    def serve(method, path, headers, body):
        taken.append(body)
        return 200, {}, b"%d bytes" % len(body)

    with agents(plane, tmp_path, OFTEN) as made:
        token = made.tenant.enrolment("producer", made.tenant.producers[0])
        with producer.Producer(plane.base, token, serve) as ours:
            _, base = made.consumer()
            served(f"http://{base}/ready")
            sent = b"".join(in_pieces(b"", 4, 0))
            answer = requests.post(f"http://{base}/up", in_pieces(b"", 4, 1.2), timeout=PATIENCE)
            assert answer.text == f"{len(sent)} bytes" and taken[-1] == sent
            (watched,) = [lane for lane in ours.lanes.values() if lane.bodies]
            ticket, keys, body = watched.bodies[0]
            assert len(keys) >= 3, "it was re-keyed"
            # Each segment opens under one key, and they take turns once and in order.
            opened = [[k for k, key in enumerate(keys) if opens(ticket, key, body, segment)]
                      for segment in segments_of(body)]
            assert all(len(found) == 1 for found in opened)
            in_order = [found[0] for found in opened]
            assert in_order == sorted(in_order) and set(in_order) == set(range(len(keys)))
            # A root that leads to one epoch is in none of the next, nor leads there by what is sent.
            assert len(set(watched.roots)) == len(watched.roots)
            # One more re-keying may have been under way when the body ended.
            assert len(watched.roots) - len(keys) in (0, 1)
            for root, epoch in zip(watched.roots, watched.lane.epochs):
                for agreed in (b"", bytes(32)):
                    x = extract(root, agreed + epoch.session)
                    assert expanded(x, "commit") != epoch.commitment
            assert made.tenant.get("/v1/collisions")["items"] == []


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_a_consumer_in_python_re_keys_its_stream_with_the_producers_agent(plane, tmp_path, suite):
    api = Api(in_turns)
    with (agents(plane, tmp_path, {**OFTEN, "suite": suite}) as made,
          contextlib.closing(api.listener)):
        made.producer("--upstream", f"http://127.0.0.1:{api.port}")
        ours = opened(made.tenant, plane)
        request = bhttp.write_request("POST", "/turns", {"host": "x"}, PIECE * 2)
        keys = []

        def rekeyed():
            """The stream's last word in the old epoch stands before the sub-ticket."""
            asked = ours.lane.ask()
            answer = until("its answer", lambda: [
                answer for answer in [requests.post(
                    ours.grant.address + REKEY, asked, timeout=PATIENCE,
                    headers={"content-type": "application/octet-stream"})]
                if answer.status_code == 200])[0]
            again = requests.post(ours.grant.address + REKEY, asked, timeout=PATIENCE)
            assert again.content == answer.content, "a repeat has the same answer"
            keys.append(ours.lane.rekeyed(answer.content).keys)

        def body():
            yield ours.lane.begin(request[:1_000], stream=True)
            ours.reported(ours.lane.waiting[0])
            sealing, rest = ours.lane.sealing, request[1_000:]
            while rest:
                sealing.push(rest[:50_000])
                rest = rest[50_000:]
                sealing.checkpoint(last=not rest)
                yield sealing.taken()
                if rest:
                    rekeyed()
                    yield sealing.taken()

        answer = requests.post(ours.grant.address + PATH, body(), timeout=PATIENCE,
                               headers={"content-type": "application/octet-stream"})
        status, _, content = bhttp.read_response(ours.lane.conclude(answer.content))
        assert (status, content) == (200, PIECE * 2)
        every = [key for epoch in keys for key in epoch.values()]
        assert len(set(every)) == len(every) >= 6
        assert made.tenant.get("/v1/collisions")["items"] == []
