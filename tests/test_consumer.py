"""The consumer in Python with the producer's real agent: both suites, both kinds of
reporting, large bodies; and a copy of it, which is a theft.
"""

import copy
import os

import pytest
import requests

from agents import agents
from consumer import Consumer
from control_plane import control_plane, until
from test_interop import Echo, running


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


class Keeper(Echo):
    """Keeps what it is sent."""

    kept: dict = {}

    def do_PUT(self):
        Keeper.kept[self.path] = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        if self.path not in Keeper.kept:
            return super().do_GET()
        self.send_response(200)
        self.send_header("content-length", str(len(Keeper.kept[self.path])))
        self.end_headers()
        self.wfile.write(Keeper.kept[self.path])


@pytest.fixture
def enrolled(plane, tmp_path, request):
    """A consumer in Python with a bundle of the pair whose policy is given."""
    with running(Keeper) as upstream, agents(plane, tmp_path, request.param) as made:
        made.producer("--upstream", f"http://127.0.0.1:{upstream}")
        tenant = made.tenant
        until("the producer", lambda: tenant.get("/v1/endpoints")["items"])
        token = tenant.enrolment("consumer", tenant.consumer)
        consumer = Consumer(plane.base, token)
        until("a bundle", lambda: draw(consumer, tenant.pairs[0]))
        yield consumer, tenant


def draw(consumer, pair) -> bool:
    try:
        consumer.draw(pair)
        return True
    except (requests.ConnectionError, RuntimeError):
        return False


POLICIES = [{"suite": suite, "reporting": reporting}
            for suite in [1, 2] for reporting in ["batched", "strict"]]


@pytest.mark.parametrize("enrolled", POLICIES, indirect=True, ids=str)
def test_exchanges(enrolled):
    consumer, tenant = enrolled
    status, headers, content = consumer.request("GET", "/a?b=c", x_asked="told")
    assert status == 200 and b'"/a?b=c"' in content and b"told" in content
    for size in [0, 1, 65_536, 65_537, 1_000_000]:
        body = os.urandom(size)
        status, *_ = consumer.request("PUT", f"/kept-{size}", body, content_length=str(size))
        assert status == 201
        assert consumer.request("GET", f"/kept-{size}")[2] == body
    assert [one["state"] for one in consumer.heartbeat()["bundles"]] == ["active"]
    # Both ends' reports are of the same tickets.
    def recorded():
        path = f"/v1/bundles/{consumer.bundle}/tickets?lane=0"
        tickets = tenant.get(path)["items"]
        both = all(one["consumer_reported"] and one["producer_reported"] for one in tickets)
        return len(tickets) == 12 and both

    until("both reports", recorded)
    assert tenant.get("/v1/collisions")["items"] == []


@pytest.mark.parametrize("enrolled", [{"suite": 1}], indirect=True, ids=str)
def test_a_copy_is_found_out(enrolled):
    consumer, tenant = enrolled
    thief = copy.copy(consumer)
    thief.lane = copy.copy(consumer.lane)
    thief.lane.entries = list(consumer.lane.entries)
    thief.report = lambda previous: None
    assert thief.request("GET", "/stolen")[0] == 200
    with pytest.raises(RuntimeError):
        consumer.request("GET", "/own")
    found = until("the collision", lambda: tenant.get("/v1/collisions")["items"])
    assert found[0]["kind"] == "fork" and found[0]["bundle_id"] == consumer.bundle
