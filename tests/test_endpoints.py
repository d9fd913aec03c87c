"""Endpoints in Python with real agents, and with each other: a consumer with the producer's
agent, a consumer's agent with a producer, both in Python; every suite, both kinds of
reporting, large bodies; and copies of either, which are thefts.
"""

import contextlib
import copy
import json
import os
import threading

import pytest
import requests

from agents import Agent, agents, served
from consumer import Consumer, NotBegun, copied
from control_plane import PATIENCE, control_plane, free_port, until
from identity import Refused
from producer import Producer
from test_interop import Echo, running

KEPT: dict[str, bytes] = {}


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


class Keeper(Echo):
    """Keeps what it is sent."""

    def do_PUT(self):
        KEPT[self.path] = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        if self.path not in KEPT:
            return super().do_GET()
        self.send_response(200)
        self.send_header("content-length", str(len(KEPT[self.path])))
        self.end_headers()
        self.wfile.write(KEPT[self.path])


def keep(method: str, path: str, headers: dict, body: bytes):
    """The same API, where the producer is in Python."""
    if method == "PUT":
        KEPT[path] = body
        return 201, {}, b""
    told = f"{path} {headers.get('x-asked')}".encode()
    return 200, {"content-type": "text/plain"}, KEPT.get(path, told)


def opened(tenant, plane) -> Consumer:
    """A consumer in Python with an open lane."""
    until("the producer", lambda: tenant.get("/v1/endpoints")["items"])
    consumer = Consumer(plane.base, tenant.enrolment("consumer", tenant.consumer))
    until("a lane", lambda: tried(consumer, tenant.pairs[0]))
    return consumer


def tried(consumer: Consumer, pair: str) -> bool:
    with contextlib.suppress(requests.ConnectionError, Refused):
        consumer.open(pair)
        return True
    return False


@contextlib.contextmanager
def with_agent(plane, folder, policy=None):
    """A consumer in Python with a lane to the producer's agent."""
    with running(Keeper) as upstream, agents(plane, folder, policy) as made:
        made.producer("--upstream", f"http://127.0.0.1:{upstream}")
        yield opened(made.tenant, plane), made.tenant


def exchanges(consumer: Consumer):
    status, _, content = consumer.request("GET", "/a?b=c", x_asked="told")
    assert status == 200 and b"/a?b=c" in content and b"told" in content
    for size in [0, 1, 65_536, 65_537, 300_000, 2_500_000]:
        body = os.urandom(size)
        status, *_ = consumer.request("PUT", f"/kept-{size}", body, content_length=str(size))
        assert status == 201
        assert consumer.request("GET", f"/kept-{size}")[2] == body


def recorded_by_both(tenant, bundle: str, exchanges: int):
    def both():
        tickets = tenant.get(f"/v1/bundles/{bundle}/tickets?lane=0")["items"]
        seen = [one["consumer_reported"] and one["producer_reported"] for one in tickets]
        return len(seen) == exchanges and all(seen)

    until("both reports", both)
    assert tenant.get("/v1/collisions")["items"] == []


POLICIES = [{"suite": suite, "reporting": reporting}
            for suite in [1, 2, 3] for reporting in ["batched", "strict"]]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_consumer_with_the_producers_agent(plane, tmp_path, policy):
    with with_agent(plane, tmp_path, policy) as (consumer, tenant):
        exchanges(consumer)
        beat = consumer.heartbeat(consumer.grant.id)
        assert [one["state"] for one in beat["bundles"]] == ["active"]
        recorded_by_both(tenant, consumer.grant.id, 14)
        consumer.close()
        assert tenant.get(f"/v1/bundles/{consumer.grant.id}")["state"] == "retired"


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_a_producer_with_the_consumers_agent(plane, tmp_path, suite):
    with agents(plane, tmp_path, {"suite": suite}) as made:
        tenant = made.tenant
        token = tenant.enrolment("producer", tenant.producers[0])
        with Producer(plane.base, token, keep) as producer:
            agent, base = made.consumer()
            answer = served(f"http://{base}/a?b=c", agent, headers={"x-asked": "told"})
            assert (answer.status_code, answer.text) == (200, "/a?b=c told")
            for size in [1, 65_537, 300_000, 2_500_000]:
                body, url = os.urandom(size), f"http://{base}/agents-{size}"
                assert requests.put(url, body, timeout=180).status_code == 201
                assert requests.get(url, timeout=180).content == body
            assert set(producer.reports) == {"accepted"}
            assert tenant.get("/v1/collisions")["items"] == []


def test_both_in_python(plane, tmp_path):
    with agents(plane, tmp_path) as made:
        tenant = made.tenant
        token = tenant.enrolment("producer", tenant.producers[0])
        with Producer(plane.base, token, keep):
            consumer = opened(tenant, plane)
            exchanges(consumer)
            # What is begun too late is refused, and can be told from what ran.
            with pytest.raises(NotBegun, match="1"):
                consumer.send(b"too late", budget=-60_000)
            assert consumer.request("GET", "/after")[0] == 200
            recorded_by_both(tenant, consumer.grant.id, 16)


def test_a_late_call_is_refused_by_the_agent(plane, tmp_path):
    with with_agent(plane, tmp_path) as (consumer, _):
        KEPT.pop("/late", None)
        with pytest.raises(NotBegun, match="1"):
            consumer.send(b"anything", budget=-60_000)
        assert consumer.request("GET", "/after")[0] == 200


def test_a_copy_of_a_consumer_is_found_out(plane, tmp_path):
    with with_agent(plane, tmp_path) as (consumer, tenant):
        thief = copy.copy(consumer)
        thief.lane = copied(consumer.lane)
        thief.reported = lambda *_: None
        assert thief.request("GET", "/stolen")[0] == 200
        with pytest.raises(RuntimeError):
            consumer.request("GET", "/own")
        found = until("the collision", lambda: tenant.get("/v1/collisions")["items"])
        assert (found[0]["kind"], found[0]["bundle_id"]) == ("fork", consumer.grant.id)
        assert (found[0]["role"], found[0]["endpoint_id"]) == ("consumer", consumer.endpoint["id"])


@contextlib.contextmanager
def with_copied_producer(plane, folder):
    """A consumer with an open lane, its producer, and a copy of that which reports nothing."""
    with agents(plane, folder) as made:
        tenant = made.tenant
        token = tenant.enrolment("producer", tenant.producers[0])
        with Producer(plane.base, token, keep) as victim:
            consumer = opened(tenant, plane)
            ((place, lane),) = victim.lanes.items()
            thief = copy.copy(victim)
            thief.lanes, thief.report = {place: copied(lane)}, lambda *_: {"verdict": "none"}
            yield consumer, victim, thief, tenant


def finding(tenant, kind: str, victim: Producer):
    found = until("the collision", lambda: tenant.get("/v1/collisions")["items"])
    assert {one["kind"] for one in found} == {kind}
    assert (found[0]["role"], found[0]["endpoint_id"]) == ("producer", victim.endpoint["id"])


def test_a_producers_copy_that_answers_in_its_place_is_found_out(plane, tmp_path):
    with with_copied_producer(plane, tmp_path) as (consumer, victim, thief, tenant):
        consumer.deliver = lambda wire: consumer.lane.conclude(thief.exchange(wire)[1])
        assert consumer.request("GET", "/stolen")[0] == 200
        # The victim hears of a receipt that it did not sign, and disowns it.
        finding(tenant, "disowned", victim)


def test_two_receipts_for_one_ticket_are_found_out(plane, tmp_path):
    with with_copied_producer(plane, tmp_path) as (consumer, victim, thief, tenant):
        def deliver(wire):
            assert victim.exchange(wire)[0] == 200
            return consumer.lane.conclude(thief.exchange(wire)[1])

        consumer.deliver = deliver
        with pytest.raises(RuntimeError, match="collision"):
            consumer.request("GET", "/both")
        finding(tenant, "producer-clone", victim)


@contextlib.contextmanager
def calling(url: str):
    """Calls without a pause; what their statuses were."""
    over, statuses = threading.Event(), []

    def call():
        while not over.is_set():
            statuses.append(requests.get(url, timeout=PATIENCE).status_code)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def twenty_more(statuses: list[int]):
    enough = len(statuses) + 20
    until("twenty calls more", lambda: len(statuses) >= enough)


def seen_keys(agent: Agent) -> list[str]:
    """The log's keys that an agent has followed."""
    pin = json.loads((agent.folder / "data/log-pin.json").read_text())
    return [pin["keys"]["first"], *(one["new_key"] for one in pin["keys"]["rotations"])]


def test_a_rotation_of_the_logs_key_loses_no_call(plane, tmp_path):
    """Bundles are renewed beside three rotations, so both ends follow each and compare each
    other's heads; then an agent comes that knows the log's first key alone."""
    policy = {"bundle_lifetime_ms": 10_000}
    with running(Echo) as upstream, agents(plane, tmp_path, policy) as made:
        tenant = made.tenant
        keys = [tenant.get("/v1/audit/head")["log_key"]]
        known = ("--log-key", keys[0])
        producer, _ = made.producer("--upstream", f"http://127.0.0.1:{upstream}", *known)
        consumer, base = made.consumer(*known)
        served(f"http://{base}/first", consumer)
        with calling(f"http://{base}/call") as statuses:
            for number in [1, 2, 3]:
                rotated = tenant.post("/v1/audit/key-rotations", {"reason": f"no. {number}"})
                assert (rotated["number"], rotated["old_key"]) == (number, keys[-1])
                keys.append(rotated["new_key"])
                until("the new key", lambda: seen_keys(consumer) == seen_keys(producer) == keys)
                twenty_more(statuses)
        assert set(statuses) == {200}
        port = free_port()
        late = made.start("late", "consumer", tenant.consumer, "--listen", f"127.0.0.1:{port}",
                          *known)
        served(f"http://127.0.0.1:{port}/late", late)
        assert seen_keys(late) == keys
        for agent in [consumer, producer, late]:
            assert not (agent.folder / "data/log-alarms.json").exists()
        ends = tenant.get("/v1/endpoints")["items"]
        # A consumer's agent may have come before its producer's.
        errors = [one["last_error"] for one in ends if one["last_error"]]
        assert [error for error in errors if not error.startswith("no bundle:")] == []
