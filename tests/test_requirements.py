"""The security model's requirements (R2 to R10 and R13) on running agents, each as an attack that
is named by it. R1, R11 and R12 are among what was found by experiment, in test_experiments.py.
"""

import base64
import contextlib
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from agents import Agent, agents, served
from consumer import ConsumerLane, copied
from control_plane import PATIENCE, control_plane, free_port, until
from hop import PASS, Hop
from identity import HEARTBEAT
from producer import Producer
from protocol import TICKET, WHOLE, Head, Lane, h
from test_endpoints import opened
from thief import (
    agreements, at, counted, follow, key_of, led_to, memory, recorded, refused, status_of,
    times,
)

SECRET = "a-password-of-the-application"
# What opens a hardware module, or is one: PKCS #11, the TPM's software stack, a TPM.
MODULE = re.compile(r"pkcs-?11|libtss2?\b|libtss2?-|/tss2?/|/dev/tpm", re.IGNORECASE)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def upstream():
    with counted() as base:
        yield base


def test_r2_a_one_time_key_leads_to_no_root(plane, tmp_path, upstream, monkeypatch):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        seen, wires = agreements(monkeypatch), recorded(consumer)
        consumer.request("GET", "/stolen-key")
        state = copied(consumer.lane)
        consumer.request("GET", "/next")
        first, second = seen
        assert key_of(state, wires[1], second.agreed) == second.key, "the root and the secret do"
        for root in [*led_to(first.key, first), *led_to(first.key, second)]:
            assert root not in state.lane.roots.values()
            thief = copied(state)
            thief.lane.roots[TICKET] = root
            assert key_of(thief, wires[1], second.agreed) is None


def test_r2_a_root_leads_to_no_earlier_root(plane, tmp_path, upstream, monkeypatch):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        seen, wires = agreements(monkeypatch), recorded(consumer)
        states = [copied(consumer.lane)]
        for number in range(2):
            consumer.request("GET", f"/{number}")
            states.append(copied(consumer.lane))
        for before, after, sent, wire in zip(states, states[1:], seen, wires):
            assert key_of(before, wire, sent.agreed) == sent.key, "the root of before does"
            for later in after.lane.roots.values():
                for root in led_to(later, sent):
                    assert root not in before.lane.roots.values()
                    thief = copied(before)
                    thief.lane.roots[TICKET] = root
                    assert key_of(thief, wire, sent.agreed) is None


def test_r3_a_stolen_root_reads_nothing_that_follows(plane, tmp_path, upstream, monkeypatch):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        stolen = copied(consumer.lane)
        seen, wires = agreements(monkeypatch), recorded(consumer)
        for number in range(3):
            consumer.request("GET", f"/{number}")
        first, second, third = seen
        # What is agreed on is in no message: the thief has shares alone.
        shares = [wire[109 : 109 + 32] for wire in wires] + [b"", bytes(32), stolen.theirs]
        for sent, wire in zip(seen, wires):
            assert all(key_of(at(stolen, sent), wire, guess) is None for guess in shares)
        # What the first exchange agreed on would have given it the first message,
        thief = copied(stolen)
        assert follow(thief, wires[0], first.agreed) == first.key
        # and neither the second nor, whatever else it comes by, one after that:
        assert all(key_of(at(thief, second), wires[1], guess) is None for guess in shares)
        for state in [stolen, thief]:
            assert key_of(at(state, third), wires[2], third.agreed) is None
        # each exchange's own secret is missing, and nothing else.
        thief = at(thief, second)
        assert follow(thief, wires[1], second.agreed) == second.key
        assert key_of(at(thief, third), wires[2], third.agreed) == third.key


def test_r4_nothing_on_the_wire_tells_what_was_signed(plane, tmp_path):
    with agents(plane, tmp_path) as made:
        token = made.tenant.enrolment("producer", made.tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, b"yes")) as producer:
            agent, base = made.consumer()
            served(f"http://{base}/first", agent)
            exchange, tickets = producer.exchange, []

            def on_path(message):
                wire = message.read()
                with contextlib.suppress(StopIteration):
                    bundle = next(grant.bundle for named, grant in producer.bundles.items()
                                  if named == wire[5:21])
                    head = bundle.passed(wire[: int.from_bytes(wire[:2]) + 2], "request")
                    tickets.append(Head(bundle, head, TICKET))
                return exchange(wire)

            producer.exchange = on_path
            for _ in range(5):
                assert requests.post(f"http://{base}/same", SECRET, timeout=PATIENCE).ok
            calls = {one.hash: one for one in tickets if one.mode == WHOLE}.values()
            # The proofs hold for whoever knows the context (that was checked), and say of five
            # equal contents no more than that each is another one.
            assert len(calls) == 5
            assert len({one.commitment for one in calls}) == len({one.rest for one in calls}) == 5
            assert all(one.commitment != h(SECRET.encode()) for one in calls)


def test_r5_a_stolen_state_opens_no_earlier_message(plane, tmp_path, upstream, monkeypatch):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        seen, wires = agreements(monkeypatch), recorded(consumer)
        before = copied(consumer.lane)
        consumer.request("GET", "/earlier")
        (sent,) = seen
        assert key_of(before, wires[0], sent.agreed) == sent.key
        # All that is public at that time, and the roots that follow; even what was agreed on.
        stolen = copied(before)
        stolen.lane.roots = dict(consumer.lane.lane.roots)
        for root in stolen.lane.roots.values():
            thief = copied(stolen)
            thief.lane.roots[TICKET] = root
            assert key_of(thief, wires[0], sent.agreed) is None
            # Nor is the key what either of them itself leads to.
            assert sent.key not in led_to(root, sent)


def test_r6_after_the_owners_next_ticket_every_ticket_of_its_bundle_is_dead(
        plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        owner = opened(made.tenant, plane)
        thief = copy.copy(owner)
        thief.lane, thief.reported = copied(owner.lane), lambda *_: None
        assert thief.request("GET", "/stolen")[0] == 200
        with pytest.raises(RuntimeError):
            owner.request("GET", "/own")
        (found,) = until("the collision", lambda: made.tenant.get("/v1/collisions")["items"])
        assert (found["kind"], found["role"]) == ("fork", "consumer")
        until("the end of the thief", lambda: refused(thief, "/more"))
        before = times("/more")
        new = copy.copy(thief)
        new.lane = ConsumerLane(owner.grant, 1, owner.key)
        wire = new.lane.begin(None)
        assert status_of(owner, wire) != 200, "nor does it open another lane"
        assert refused(thief, "/more") and times("/more") == before


def test_r7_an_idle_consumer_takes_tickets_and_draws_bundles(plane, tmp_path):
    """What it takes next shows a copy of it: so it does not wait for calls."""
    policy = {"empty_exchange_interval_ms": 1_000, "bundle_lifetime_ms": 10_000}
    with agents(plane, tmp_path, policy) as made:
        token = made.tenant.enrolment("producer", made.tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, b"")) as producer:
            agent, base = made.consumer()
            served(f"http://{base}/only", agent)
            (lane,) = producer.lanes.values()
            n = lane.ticket.n
            until("empty exchanges", lambda: lane.ticket.n >= n + 3)
            until("another bundle", lambda: len(producer.bundles) > 1)
            assert made.tenant.get("/v1/collisions")["items"] == []


def test_r7_idle_agents_send_heartbeats_that_name_their_bundles(plane, tmp_path, upstream):
    """In between two tickets these show a copy. That one is cut off by them alone is tried with
    real thieves, in tests/e2e/tests/thefts.rs."""
    policy = {"empty_exchange_interval_ms": 600_000, "heartbeat_interval_ms": 500}
    beats: dict[bytes, list[list[str]]] = {}

    def heard(hop, path, body):
        if path.endswith("/v1/endpoint/links"):
            link = base64.b64decode(json.loads(body)["link"])
            endpoint, kind, told = link[1:17], link[89], link[94:-64]
            if kind == HEARTBEAT:
                beats.setdefault(endpoint, []).append(json.loads(told)["bundles"])
        return PASS

    with Hop(plane.base, heard) as control, agents(plane, tmp_path, policy) as made:
        tenant, ports = made.tenant, [free_port(), free_port()]
        for role, party, port, more in [
                ("producer", tenant.producers[0], ports[0], ["--upstream", upstream]),
                ("consumer", tenant.consumer, ports[1], [])]:
            token = tenant.enrolment(role, party)
            agent = Agent(tmp_path / role, role, token, control.base, "--listen",
                          f"127.0.0.1:{port}", *more)
            made.stack.callback(agent.stop)
        served(f"http://127.0.0.1:{ports[1]}/only", agent)
        (bundle,) = tenant.get("/v1/bundles")["items"]
        lanes = f"/v1/bundles/{bundle['id']}/lanes"
        until("the call's report", lambda: any(head["n"] for head in tenant.get(lanes)["items"]))
        before = tenant.get(lanes)

        def both_say_so():
            naming = [sum(bundle["id"] in named for named in told) for told in beats.values()]
            return len(naming) == 2 and min(naming) >= 5

        until("heartbeats of both", both_say_so)
        assert tenant.get(lanes) == before, "no ticket went in between"
        assert tenant.get("/v1/collisions")["items"] == []


def test_r8_each_end_brings_fresh_material_to_each_exchange(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer, shares = opened(made.tenant, plane), []
        for number in range(5):
            consumer.request("GET", f"/{number}")
            shares.append(consumer.lane.receipt.share)
        assert len(set(shares)) == 5, "the producer's agent"
    with agents(plane, tmp_path / "the other") as made:
        token = made.tenant.enrolment("producer", made.tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, b"")) as producer:
            agent, base = made.consumer()
            served(f"http://{base}/first", agent)
            (lane,), shares = producer.lanes.values(), {}
            for number in range(5):
                requests.get(f"http://{base}/{number}", timeout=PATIENCE)
                shares[lane.ticket.n] = lane.ticket.share
            assert len(set(shares.values())) == len(shares) > 1, "the consumer's agent"


def test_r9_no_root_is_in_a_proxys_memory(plane, tmp_path, upstream, monkeypatch):
    """Both ends are tried with the other in Python, which knows every root."""
    if os.geteuid() != 0:
        pytest.skip("only root reads another process's memory")
    roots, message = [], Lane.message

    def spy(lane, *arguments):
        result = message(lane, *arguments)
        roots.extend(lane.roots.values())
        return result

    monkeypatch.setattr(Lane, "message", spy)
    with agents(plane, tmp_path) as made:
        agent, _ = made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        for number in range(10):
            assert consumer.request("POST", f"/{number}", b"content")[0] == 200
        alive = list(consumer.lane.lane.roots.values())
        assert not held_of(agent, [consumer.grant.bundle], [*roots, *alive])
    roots.clear()
    with agents(plane, tmp_path / "the other") as made:
        token = made.tenant.enrolment("producer", made.tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, b"answer")) as producer:
            agent, base = made.consumer()
            served(f"http://{base}/first", agent)
            for number in range(10):
                assert requests.post(f"http://{base}/{number}", SECRET, timeout=PATIENCE).ok
            lanes = list(producer.lanes.values())
            alive = [root for lane in lanes for root in lane.lane.roots.values()]
            bundles = [grant.bundle for grant in producer.bundles.values()]
            assert not held_of(agent, bundles, [*roots, *alive])


def held_of(agent: Agent, bundles: list, roots: list[bytes]) -> list[bytes]:
    """Of bundles' secrets and of lanes' roots, what an agent's proxy has in memory."""
    held = memory(agent)
    assert len(set(roots)) > 20
    assert any(bundle.gate in held for bundle in bundles), "the search finds what is there"
    secrets = [one for bundle in bundles for one in (bundle.minted, bundle.prk)]
    return [one for one in [*secrets, *roots] if one in held]


def test_r10_nothing_that_runs_opens_a_hardware_module(plane, tmp_path, upstream):
    if os.geteuid() != 0:
        pytest.skip("only root looks into an enclave's process")
    with agents(plane, tmp_path) as made:
        producer, _ = made.producer("--upstream", upstream)
        consumer, base = made.consumer()
        served(f"http://{base}/x", consumer)
        proxies = [producer.process.pid, consumer.process.pid]
        enclaves = [child for pid in proxies for child in children(pid)]
        assert len(enclaves) == 2, "one for each proxy"
        for pid in [plane.pid, *proxies, *enclaves]:
            assert modules(pid) == [], Path(f"/proc/{pid}/cmdline").read_bytes()


def test_r10_what_maps_or_holds_a_hardware_module_is_told(tmp_path):
    """The search above finds what is there."""
    for name, found in [("libpkcs11-proxy.so", True), ("libtss2-esys.so.0", True),
                        ("dev/tpmrm0", True), ("libssl.so", False)]:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(4096))
        code = ("import mmap, sys; file = open(sys.argv[1], 'rb');"
                "held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ);"
                "print(flush=True); sys.stdin.read()")
        with subprocess.Popen([sys.executable, "-c", code, file], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            assert bool(modules(process.pid)) == found, name
            process.stdin.close()


def modules(pid: int) -> list[str]:
    """Of what a process has mapped or open, what has to do with a hardware module."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    files = [parts[5] for parts in (line.split(maxsplit=5) for line in maps) if len(parts) == 6]
    assert any("/" in file for file in files), "its own program, at the least"
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        # One may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            files.append(os.readlink(descriptor))
    return [file for file in files if MODULE.search(file)]


def children(pid: int) -> list[int]:
    """Processes that another has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name in brackets may hold anything; state and parent follow it.
            if int(status.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def test_r13_a_producers_copy_that_answers_the_consumers_agent_is_found(plane, tmp_path):
    with agents(plane, tmp_path) as made:
        tenant = made.tenant
        token = tenant.enrolment("producer", tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, b"own")) as victim:
            agent, base = made.consumer("--retry-for", "3")
            served(f"http://{base}/first", agent)
            thief = copy.copy(victim)
            thief.lanes = {place: copied(lane) for place, lane in victim.lanes.items()}
            thief.serve = lambda *_: (200, {}, b"from the copy")
            thief.report = lambda *_: {"verdict": "none"}
            victim.exchange = thief.exchange
            answer = requests.get(f"http://{base}/stolen", timeout=PATIENCE)
            assert answer.content == b"from the copy"
            # The victim hears of a receipt that it did not sign, and disowns it.
            found = until("the collision", lambda: tenant.get("/v1/collisions")["items"])
            assert (found[0]["kind"], found[0]["role"]) == ("disowned", "producer")
            assert found[0]["endpoint_id"] == victim.endpoint["id"]
            assert tenant.get(f"/v1/pairs/{tenant.pairs[0]}")["state"] == "active"
