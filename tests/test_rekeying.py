"""Streams that re-key while they flow, through two agents, and copies of either end that were taken
inside one.
"""

import contextlib
import socket
import threading

import pytest
import requests

from agents import AGENT, agents, served, wait_for_port
from control_plane import PATIENCE, control_plane, free_port, until
from hop import Hop, stream
from test_streams import Api

# The least that a policy may say.
OFTEN = {"rekey_bytes": 65_536, "rekey_interval_ms": 1_000}
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
    """What the ledger holds of the bundles' lines."""
    bundles = tenant.get("/v1/bundles")["items"]
    return [one for bundle in bundles
            for one in tenant.get(f"/v1/bundles/{bundle['id']}/sub-tickets")["items"]]


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
        status, answer = hop.forward(path, body)
        if diverted.is_set() and status == 200:
            stolen = requests.post(hop.copy + path, body, timeout=PATIENCE)
            if stolen.status_code == 200:
                return 200, stolen.content
        return status, answer

    listen = free_port()
    with (agents(plane, tmp_path, OFTEN) as made, contextlib.closing(api.listener),
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
