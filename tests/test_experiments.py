"""What experiments on running agents have found (P0 to P8), each as the attack it was, by
somebody on the network, by a control plane, or by a thief. docs/security.md names each.
"""

import base64
import contextlib
import copy
import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
import uuid
from concurrent import futures

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bhttp
import consumer as consumer_module
import producer as producer_module
from agents import Agent, agents, served, wait_for_port
from consumer import PATH, ConsumerLane, NotBegun, copied
from control_plane import PATIENCE, ROOT, control_plane, free_port, until
from hop import PASS, Hop, silent
from producer import Producer
from protocol import (
    EMPTY, MAX_WHOLE, RECEIPT, TICKET, Bundle, Lane, Share, expanded, extract, fields, h, hashed,
    hpke_seal,
)
from sealing import Content, frame, issue, opening_of
from test_endpoints import opened
from thief import Counter, counted, memory, refused, status_of, times

SECRET = "a-password-of-the-application"


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def upstream():
    with counted() as base:
        yield base


@contextlib.contextmanager
def pair(plane, folder, upstream, policy=None, meddle=None):
    """Both agents with a hop between them."""
    with agents(plane, folder, policy) as made:
        _, port = made.producer("--upstream", upstream)
        with Hop(f"http://127.0.0.1:{port}", meddle) as hop:
            agent, base = made.consumer("--via", hop.base, "--retry-for", "20")
            served(f"http://{base}/first", agent)
            yield made, hop, agent, f"http://{base}"


def lanes_opened(producer: Producer) -> int:
    return len(producer.lanes)


# P0: an impostor that knows the minted secret before the opening.


def p0_minted(plane, folder, answer):
    """A consumer's agent below a control plane that hands out secrets of its own choice, with an
    impostor at the producer's address, which answers openings as `answer` has it."""
    with agents(plane, folder) as made:
        tenant, seen = made.tenant, []
        token = tenant.enrolment("producer", tenant.producers[0])
        chosen: dict[bytes, Bundle] = {}

        def impostor(_, path, body):
            seen.append(body)
            head = body[2 : int.from_bytes(body[:2]) + 2 - 16]
            bundle = chosen[head[3:19]]
            return 200, answer(bundle, head)

        with Hop("", impostor) as attacker:
            with Producer(plane.base, token, lambda *_: (200, {}, b""),
                          address=attacker.base) as producer:
                def swap(path, content):
                    if "/v1/endpoint/bundles/" not in path:
                        return content
                    grant = json.loads(content)
                    bundle = secret_of_ours(grant, producer)
                    chosen[bundle.bundle] = bundle
                    return json.dumps(grant).encode()

                with Hop(plane.base, alter=swap) as control:
                    token = tenant.enrolment("consumer", tenant.consumer)
                    port = free_port()
                    agent = Agent(folder / "victim", "consumer", token, control.base, "--listen",
                                  f"127.0.0.1:{port}", "--retry-for", "3")
                    made.stack.callback(agent.stop)
                    wait_for_port(port)

                    def refused():
                        sent = requests.post(
                            f"http://127.0.0.1:{port}/x", SECRET, timeout=PATIENCE,
                            headers={"authorization": SECRET})
                        assert sent.status_code >= 500, "no forged answer is passed on"
                        return seen

                    # Until it has a bundle it says so.
                    until("the impostor to be asked to open a lane", refused)
                    for _ in range(5):
                        refused()
            return seen


def secret_of_ours(grant: dict, producer: Producer) -> Bundle:
    """Seals another secret to the consumer, in the grant as well."""
    secret, suite = os.urandom(32), grant["bundle"]["suite"]
    ends = [grant["consumer"], grant["producer"]]
    policy = json.dumps(grant["policy"], sort_keys=True, separators=(",", ":"))
    ids = (grant["tenant_id"], grant["bundle"]["pair_id"], grant["bundle"]["id"])
    context = fields(
        "armour/2 context", b"\2", bytes([suite]), *(uuid.UUID(one).bytes for one in ids),
        struct.pack(">Q", grant["draw"]), h(policy.encode()), *(
            part for end in ends for part in (
                uuid.UUID(end["party_id"]).bytes, uuid.UUID(end["endpoint_id"]).bytes,
                base64.b64decode(end["incarnation_key"]))))
    start = base64.b64decode(grant["consumer"]["start"])
    sealed = hpke_seal(start[-96:-64], secret, b"armour/2 envelope", context)
    grant["sealed_secret"] = base64.b64encode(sealed).decode()
    return Bundle(suite, context, secret, uuid.UUID(ids[2]).bytes, *(
        producer.key.public_key() for _ in ends))


def forged_opening(bundle: Bundle, wire: bytes) -> bytes:
    """Receipt 0 with the impostor's own share, under a key that is not the producer's."""
    lane, own = Lane(bundle, int.from_bytes(wire[19:21])), Ed25519PrivateKey.generate()
    # The ticket is the consumer's; what follows from it is the same whoever signs.
    at = 33 + 32 + 8 + 1 + 1 + 32
    share_of_consumer = wire[at : at + (1216 if bundle.suite == 2 else 32)]
    length = 33 + 32 + 42 + len(share_of_consumer) + 4 + 2
    log_head = int.from_bytes(wire[length - 2 : length])
    absorbed = wire[: length + log_head]
    key_commitment = wire[length + log_head : length + log_head + 32]
    rest = absorbed[65:] + key_commitment
    body = wire[:33] + lane.link + hashed("rest", rest)
    lane.transcript = hashed("absorb", lane.transcript, absorbed)
    x = extract(lane.roots[TICKET], lane.transcript)
    assert expanded(x, "commit") == key_commitment, "the impostor knows the minted secret"
    lane.roots[TICKET], lane.link = expanded(x, "next"), hashed("body", body)
    share = Share(bundle.suite)
    share.encapsulate_to(share_of_consumer)
    head, _ = issue(lane, RECEIPT, 0, 1, EMPTY, share, share.answer(share_of_consumer), own,
                    opening=opening_of(RECEIPT, 0))
    return frame(bundle, "response", head)


@pytest.mark.parametrize("last", [True, False], ids=["whole", "cut short"])
def test_r11_p0_an_impostor_with_the_minted_secret_is_sent_no_application_byte(plane, tmp_path, last):
    def answer(bundle, head):
        forged = forged_opening(bundle, head)
        return forged if last else forged[:-40]

    seen = p0_minted(plane, tmp_path, answer)
    # Openings alone: ticket 0 carries no content, and nothing follows its head.
    for body in seen:
        assert body[2 + 2] == TICKET and body[2 + 21 : 2 + 29] == bytes(8)
        assert len(body) == int.from_bytes(body[:2]) + 2


def test_p0_a_control_plane_cannot_impersonate_a_pinned_party(plane, tmp_path):
    """It enrols a producer's endpoint of its own, as whoever runs it can."""
    armour = ROOT / "target/debug/armour"
    with agents(plane, tmp_path) as made:
        tenant = made.tenant
        party = tenant.producers[0]
        key, pins = tmp_path / "party.key", tmp_path / "pins.json"
        public = subprocess.run([armour, "party-keys", "create", key], check=True,
                                capture_output=True, text=True).stdout.split()[-1]
        pins.write_text(json.dumps(
            {"pins": [{"tenant": tenant.id, "party": party, "key": public}]}))
        token = tenant.enrolment("producer", party)
        with Producer(plane.base, token, lambda *_: (200, {}, b"from the impostor")) as impostor:
            agent, base = made.consumer("--pins", pins, "--retry-for", "3")
            until("the refusal", lambda: "not-certified" in agent.log())
            sent = requests.post(f"http://{base}/x", SECRET, timeout=PATIENCE)
            assert sent.status_code >= 500 and lanes_opened(impostor) == 0
            # Once the party vouches for an endpoint it is served.
            certificate, own = tmp_path / "certificate", impostor.endpoint
            subprocess.run(
                [armour, "party-keys", "certify", "--offline", "--key", key, "--tenant",
                 tenant.id, "--party", party, "--role", "producer", "--signing-key",
                 own["signing_key"], "--kem-key", own["kem_key"], "--out", certificate,
                 own["id"]], check=True)
            plane.call("PUT", f"/v1/endpoints/{own['id']}/certificate", tenant.token,
                       {"certificate": certificate.read_text().strip()})
            answer = served(f"http://{base}/x", agent)
            assert answer.text == "from the impostor"


def test_p0_a_control_plane_cannot_name_another_tenant_to_who_has_pins(plane, tmp_path):
    """Whoever runs it can run a tenant of its own, in which nobody is pinned."""
    pins, of = tmp_path / "pins.json", str(uuid.uuid4())
    key = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    pins.write_text(json.dumps({"pins": [{"tenant": of, "party": of, "key": key}]}))
    for number, (flags, said) in enumerate([(("--pins", pins), "--pins names no party"),
                                            (("--tenant", of), "--tenant says")]):
        with agents(plane, tmp_path / str(number)) as made:
            agent, _ = made.consumer(*flags)
            until("the end", lambda: agent.process.poll() is not None)
            assert said in agent.log()
            # Nothing is left that a later start without pins would take for its own.
            assert not (agent.folder / "data" / "endpoint.json").exists()


# P1: nothing is handed on before it is verified.


def test_p1_a_caller_gets_no_byte_of_a_response_that_nobody_signed(plane, tmp_path):
    for size in [40, 300_000]:
        with agents(plane, tmp_path / str(size)) as made:
            tenant = made.tenant
            genuine = os.urandom(size)
            token = tenant.enrolment("producer", tenant.producers[0])
            with Producer(plane.base, token, lambda *_: (200, {}, genuine)) as producer:
                agent, base = made.consumer("--retry-for", "20")
                assert served(f"http://{base}/first", agent).content == genuine
                exchange, forged = producer.exchange, []

                def on_path(message):
                    wire = message.read()
                    status, answer = exchange(wire)
                    if status == 200 and len(answer) > size and not forged:
                        forged.append(True)
                        # The head is genuine; what follows is damaged.
                        return 200, answer[:-1] + bytes([answer[-1] ^ 1])
                    return status, answer

                producer.exchange = on_path
                got, ended = received(f"http://{base}/again")
                assert forged
                # What is whole is asked for again; a stream breaks where it was forged.
                assert got == genuine if ended else genuine.startswith(got)
                assert ended or size > MAX_WHOLE
                assert requests.get(f"http://{base}/after", timeout=PATIENCE).content == genuine


@pytest.mark.parametrize("place", ["first segment", "data", "last checkpoint"])
def test_p1_one_altered_byte_of_a_stream_costs_no_more_than_a_cut(plane, tmp_path, place):
    """Whoever is on the path could cut the connection as well: the same bytes come again."""
    with agents(plane, tmp_path) as made:
        tenant = made.tenant
        genuine = os.urandom(300_000)
        token = tenant.enrolment("producer", tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, genuine)) as producer:
            agent, base = made.consumer("--retry-for", "20")
            assert served(f"http://{base}/first", agent).content == genuine
            exchange, altered = producer.exchange, []

            def on_path(message):
                wire = message.read()
                status, answer = exchange(wire)
                if status == 200 and len(answer) > len(genuine) and len(altered) < 4:
                    altered.append(wire)
                    at = {"first segment": 2_000, "data": 150_000, "last checkpoint": -1}[place]
                    damaged = bytearray(answer)
                    damaged[at] ^= 1
                    return 200, bytes(damaged)
                return status, answer

            producer.exchange = on_path
            got, ended = received(f"http://{base}/again")
            assert len(altered) == 4 and ended and got == genuine
            assert len(set(wire[:31] for wire in altered)) == 1, "one ticket of one lane"
            bundle, lane = altered[0][5:21], int.from_bytes(altered[0][21:23])
            n = int.from_bytes(altered[0][23:31])

            def goes_on():
                assert requests.get(f"http://{base}/after", timeout=PATIENCE).content == genuine
                return producer.lanes[bundle, lane].ticket.n > n

            until("the lane's next ticket", goes_on)


def received(url: str) -> tuple[bytes, bool]:
    """What came of a response, and whether that was all of it."""
    got = b""
    try:
        with requests.get(url, timeout=PATIENCE, stream=True) as answer:
            assert answer.status_code == 200
            for piece in answer.iter_content(None):
                got += piece
        return got, True
    except requests.exceptions.ChunkedEncodingError:
        return got, False


def test_r1_p1_the_api_is_not_called_by_the_holder_of_a_requests_key(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        own = bhttp.write_request("GET", "/own", {"host": "x"}, b"")
        theirs = bhttp.write_request("DELETE", "/forged", {"host": "x", "authorization": "forger"},
                                     bytes(300_000))
        for forged in [own[:-1] + b"\1", theirs[:60_000], theirs]:
            wire, stolen = begin_with_key(consumer.lane, own)
            attack = wire[: int.from_bytes(wire[:2]) + 2] + forge(consumer.lane, stolen, forged)
            assert status_of(consumer, attack) != 200, "a forger gets no receipt"
            assert times("/forged") == 0
            # The genuine bytes still pass: the lane is as it was.
            until("the genuine one", lambda: consumer.deliver(wire) is not None)
        assert times("/own") == 3 and times("/forged") == 0


def begin_with_key(lane, content: bytes) -> tuple[bytes, bytes]:
    """A request, and the one-time key that a thief has of it."""
    keys = []

    def spy(*arguments, **more):
        head, key = issue(*arguments, **more)
        keys.append(key)
        return head, key

    consumer_module.issue = spy
    try:
        return lane.begin(content), keys[0]
    finally:
        consumer_module.issue = issue


def forge(lane, key: bytes, content: bytes) -> bytes:
    """Content that is sealed under a stolen key, with the thief's own signatures."""
    ticket, _ = lane.waiting
    sealed = Content(lane.bundle, TICKET, content)
    return sealed.seal(ticket.body, key, ticket.hash, ticket.n, Ed25519PrivateKey.generate())


def test_p1_a_proxys_memory_holds_no_spent_key(plane, tmp_path, upstream, monkeypatch):
    """Who copies a proxy later opens nothing of what it was sent, or sent, before. Both ends are
    tried with the other in Python, which knows every key."""
    if os.geteuid() != 0:
        pytest.skip("only root reads another process's memory")
    keys = spied(monkeypatch)
    with agents(plane, tmp_path) as made:
        agent, _ = made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        for number in range(20):
            assert consumer.request("POST", f"/{number}", b"content")[0] == 200
        consumer.send(None)
        assert memory(agent).count(consumer.grant.bundle.gate) > 0, "the search finds what is there"
        assert left(agent, keys) == []
    keys.clear()
    with agents(plane, tmp_path / "the other") as made:
        token = made.tenant.enrolment("producer", made.tenant.producers[0])
        with Producer(plane.base, token, lambda *_: (200, {}, b"answer")) as producer:
            agent, base = made.consumer()
            served(f"http://{base}/first", agent)
            for number in range(20):
                requests.post(f"http://{base}/{number}", SECRET, timeout=PATIENCE)
            assert any(grant.bundle.gate in memory(agent) for grant in producer.bundles.values())
            assert left(agent, keys) == []


def spied(monkeypatch) -> list[bytes]:
    """The one-time keys of all that is sent and taken in Python from now on."""
    keys, taken = [], Lane.message

    def sent(*arguments, **more):
        head, key = issue(*arguments, **more)
        keys.append(key)
        return head, key

    def message(lane, *arguments):
        head, key = taken(lane, *arguments)
        keys.append(key)
        return head, key

    monkeypatch.setattr(consumer_module, "issue", sent)
    monkeypatch.setattr(producer_module, "issue", sent)
    monkeypatch.setattr(Lane, "message", message)
    return keys


def left(agent: Agent, secrets: list[bytes]) -> list[str]:
    """Those secrets that an agent's proxy has in memory."""
    assert len(secrets) > 40 and len(set(secrets)) == len(secrets)
    held = memory(agent)
    return [f"secret {at} of {len(secrets)}" for at, one in enumerate(secrets) if one in held]


# P2: state that outlives its owner.


def test_p2_a_retired_bundle_serves_nobody(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        thief = copy.copy(consumer)
        thief.lane = copied(consumer.lane)
        thief.reported = lambda *_: None
        consumer.leave()
        until("the news", lambda: refused(thief, "/stolen"))
        before = times("/stolen")
        assert refused(thief, "/stolen") and times("/stolen") == before


@pytest.mark.parametrize("role", ["consumer", "producer"])
def test_p2_an_agent_that_is_stopped_retires_its_bundles(plane, tmp_path, upstream, role):
    with agents(plane, tmp_path) as made:
        producer, _ = made.producer("--upstream", upstream)
        consumer, base = made.consumer()
        served(f"http://{base}/x", consumer)
        (bundle,) = made.tenant.get("/v1/bundles")["items"]
        {"consumer": consumer, "producer": producer}[role].stop()
        state = made.tenant.get(f"/v1/bundles/{bundle['id']}")["state"]
        assert state == "retired"
        assert made.tenant.get("/v1/collisions")["items"] == []


def test_p2_a_copied_folder_that_drew_is_found_when_its_owner_is_back(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        owner, base = made.consumer()
        served(f"http://{base}/x", owner)
        owner.stop()
        copied = tmp_path / "copied"
        # Sockets are no part of a copy.
        shutil.copytree(tmp_path / "consumer" / "data", copied / "data",
                        ignore=shutil.ignore_patterns("control"))
        thief = again(made, copied, base)
        served(f"http://{base}/x", thief)
        thief.stop()
        back = again(made, tmp_path / "consumer", base)
        (found,) = until("the collision", lambda: made.tenant.get("/v1/collisions")["items"])
        assert (found["kind"], found["role"]) == ("start", "consumer")
        until("the agent to stay out", lambda: "STAYS OUT" in back.log())
        assert back.process.poll() is None, "a supervisor would start it again and again"
        assert "identity-collided" in back.log()


def again(made, folder, base: str) -> Agent:
    agent = Agent(folder, "consumer", "spent", made.tenant.plane.base, "--listen", base)
    made.stack.callback(agent.stop)
    return agent


# P3: unsigned refusals are nothing but a broken connection.


@pytest.mark.parametrize("status", [403, 404, 409, 410, 500, 503])
def test_p3_an_unsigned_refusal_ends_no_call(plane, tmp_path, upstream, status):
    meddled = []

    def meddle(hop, path, body):
        if armed.is_set() and not meddled:
            meddled.append(path)
            return status, json.dumps({"type": "urn:armour:problem:bundle-disconnected"}).encode()
        return PASS

    armed = threading.Event()
    with pair(plane, tmp_path, upstream, meddle=meddle) as (made, _, _, base), \
            futures.ThreadPoolExecutor(9) as pool:
        under_way = [pool.submit(requests.post, f"{base}/slow-{n}", timeout=PATIENCE)
                     for n in range(8)]
        until("the calls", lambda: times("/slow-") == 8)
        armed.set()
        ninth = pool.submit(requests.get, f"{base}/ninth", timeout=PATIENCE)
        until("the refusal", lambda: meddled)
        Counter.gate.set()
        assert {one.result().status_code for one in [*under_way, ninth]} == {200}
        assert all(times(f"/slow-{n}") == 1 for n in range(8))
        assert len(made.tenant.get("/v1/bundles")["items"]) == 1


# P4: cheap to send, cheap to refuse.


def test_p4_random_bundle_ids_cost_the_control_plane_nothing_each(plane, tmp_path, upstream):
    with Hop(plane.base) as control, agents(plane, tmp_path) as made:
        tenant, port = made.tenant, free_port()
        agent = Agent(tmp_path / "producer", "producer", tenant.enrolment(
            "producer", tenant.producers[0]), control.base, "--listen", f"127.0.0.1:{port}",
            "--upstream", upstream)
        made.stack.callback(agent.stop)
        consumer = opened(tenant, plane)
        genuine = consumer.lane.begin(None)
        before, since = len(control.seen), time.monotonic()

        def random_bundle(_):
            wire = genuine[:5] + os.urandom(16) + genuine[21:]
            return requests.post(f"http://127.0.0.1:{port}{PATH}", wire, timeout=PATIENCE)

        with futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(random_bundle, range(500)))
        assert {one.status_code for one in answers} <= {403, 404, 410, 429, 503}
        # Refreshes and heartbeats, whose number is a matter of time alone.
        seconds = time.monotonic() - since
        assert len(control.seen) - before <= 20 + 8 * seconds
        assert consumer.deliver(genuine) is not None, "an honest one goes on"


def test_p4_no_more_lanes_than_the_policy_says(plane, tmp_path, upstream):
    with agents(plane, tmp_path, {"max_lanes": 1}) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        for number in [1, 2, 1023]:
            lane = ConsumerLane(consumer.grant, number, consumer.key)
            wire = lane.begin(None)
            answer = requests.post(consumer.grant.address + PATH, wire, timeout=PATIENCE)
            assert answer.status_code != 200 or lane.conclude(answer.content) is None
            assert lane.waiting is not None, f"lane {number} does not open"
        assert consumer.request("GET", "/own")[0] == 200


# P5: nothing begins after its caller was told.


def test_r12_p5_what_was_lost_on_the_way_does_not_run_later(plane, tmp_path, upstream):
    """Requests are held back for longer than their time, then delivered."""
    held, delivered, released = [], [], threading.Event()

    def meddle(hop, path, body):
        if not armed.is_set() or released.is_set():
            return PASS
        held.append(body)
        released.wait(PATIENCE)
        delivered.append(hop.forward(path, body))
        return delivered[-1]

    armed = threading.Event()
    with pair(plane, tmp_path, upstream, {"begin_within_ms": 500}, meddle) as (_, _, _, base):
        armed.set()
        with pytest.raises(requests.Timeout):
            requests.post(f"{base}/late", timeout=3)
        assert held
        time.sleep(1)
        released.set()
        until("all that was held back", lambda: len(delivered) == len(held))
        assert requests.get(f"{base}/after", timeout=PATIENCE).status_code == 200
        assert times("/late") == 0


def test_p5_strict_calls_do_not_run_when_the_ledger_is_back(tmp_path, upstream):
    with control_plane(tmp_path) as own:
        policy = {"reporting": "strict", "begin_within_ms": 500, "lease_ms": 600_000}
        with pair(own, tmp_path / "pair", upstream, policy) as (_, _, _, base):
            os.kill(own.pid, signal.SIGSTOP)
            try:
                answer = requests.post(f"{base}/strict", timeout=PATIENCE)
                assert answer.status_code >= 500 and answer.json()["ran"] in ("no", "unknown")
            finally:
                os.kill(own.pid, signal.SIGCONT)
            until("calls again", lambda: requests.get(
                f"{base}/after", timeout=PATIENCE).status_code == 200)
            assert times("/strict") == 0


@pytest.mark.parametrize("first", [b"", b"\0\x10" + bytes(16)], ids=["nothing", "a forged word"])
def test_p5_an_impostor_that_answers_200_and_no_more_holds_no_call_past_its_time(
        plane, tmp_path, upstream, first):
    """A status proves nothing: what waits beyond its deadline does so for a producer's word."""
    let_go, armed = threading.Event(), threading.Event()

    def meddle(hop, path, body):
        return silent(let_go, first) if armed.is_set() else PASS

    with agents(plane, tmp_path) as made:
        _, port = made.producer("--upstream", upstream)
        with Hop(f"http://127.0.0.1:{port}", meddle) as hop:
            agent, base = made.consumer("--via", hop.base, "--retry-for", "3")
            served(f"http://{base}/first", agent)
            armed.set()
            try:
                # Far beyond its three seconds, and not as long as an API may take.
                answer = requests.post(f"http://{base}/held", timeout=60)
                assert answer.status_code == 502 and answer.json()["ran"] == "unknown"
                # And it counts as silence, as an address does where nobody listens.
                until("another bundle", lambda: len(
                    made.tenant.get("/v1/bundles")["items"]) > 1)
            finally:
                armed.clear()
                let_go.set()
            assert served(f"http://{base}/after", agent).status_code == 200
            assert times("/held") == 0


def test_p5_a_call_that_has_begun_may_take_longer_than_its_callers_patience(
        plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        _, port = made.producer("--upstream", upstream)
        agent, base = made.consumer("--retry-for", "1")
        served(f"http://{base}/first", agent)
        with futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(requests.post, f"http://{base}/slow", timeout=PATIENCE)
            until("the call", lambda: times("/slow") == 1)
            with pytest.raises(futures.TimeoutError):
                slow.result(4)
            Counter.gate.set()
            assert slow.result().status_code == 200 and times("/slow") == 1


# P6: producers are replaced.


def test_p6_a_producer_that_was_killed_is_replaced_without_an_operator(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        first, _ = made.producer("--upstream", upstream)
        consumer, base = made.consumer()
        served(f"http://{base}/first", consumer)
        first.process.kill()
        port = free_port()
        made.start("second", "producer", made.tenant.producers[0], "--listen",
                   f"127.0.0.1:{port}", "--upstream", upstream)
        until("the second", lambda: works(f"http://{base}/second"))
        assert made.tenant.get("/v1/collisions")["items"] == []


def test_p6_the_same_folder_at_another_address_is_found(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        first, _ = made.producer("--upstream", upstream)
        consumer, base = made.consumer()
        served(f"http://{base}/first", consumer)
        first.process.kill()
        first.process.wait(PATIENCE)
        moved = Agent(tmp_path / "producer-0", "producer", "spent", plane.base, "--listen",
                      f"127.0.0.1:{free_port()}", "--upstream", upstream)
        made.stack.callback(moved.stop)
        until("the same at another address", lambda: works(f"http://{base}/moved"))
        assert made.tenant.get("/v1/collisions")["items"] == []


def works(url: str) -> bool:
    try:
        return requests.get(url, timeout=PATIENCE).status_code == 200
    except requests.ConnectionError:
        return False


# P8: what was withheld on the network is no theft.


def test_p8_a_ticket_that_outlived_its_consumer_is_refused_and_no_collision(
        plane, tmp_path, upstream):
    with agents(plane, tmp_path, {"supersede_grace_ms": 500}) as made:
        _, port = made.producer("--upstream", upstream)
        withheld = []

        def meddle(hop, path, body):
            if armed.is_set():
                withheld.append(body)
                return None
            return PASS

        armed = threading.Event()
        with Hop(f"http://127.0.0.1:{port}", meddle) as hop:
            consumer, base = made.consumer("--via", hop.base)
            served(f"http://{base}/first", consumer)
            armed.set()
            with pytest.raises(requests.RequestException):
                requests.post(f"http://{base}/withheld", timeout=1)
            consumer.process.kill()
            consumer.process.wait(PATIENCE)
            armed.clear()
            back = Agent(tmp_path / "consumer", "consumer", "spent", plane.base, "--listen", base,
                         "--via", hop.base)
            made.stack.callback(back.stop)
            served(f"http://{base}/second", back)
            time.sleep(1)
            assert withheld
            for body in withheld:
                late = requests.post(f"http://127.0.0.1:{port}{PATH}", body, timeout=PATIENCE)
                assert 400 <= late.status_code < 500, late.text
            assert times("/withheld") == 0
            served(f"http://{base}/third", back)
            assert made.tenant.get("/v1/collisions")["items"] == []
            assert made.tenant.get(f"/v1/pairs/{made.tenant.pairs[0]}")["state"] == "active"


def test_a_refused_ticket_that_is_delivered_again_or_late_runs_not_once(plane, tmp_path, upstream):
    with agents(plane, tmp_path) as made:
        made.producer("--upstream", upstream)
        consumer = opened(made.tenant, plane)
        request = bhttp.write_request("POST", "/refused", {"host": "x"}, b"")
        sent = []
        deliver = consumer.deliver
        consumer.deliver = lambda wire: sent.append(wire) or deliver(wire)
        with pytest.raises(NotBegun):
            consumer.send(request, budget=-60_000)
        del consumer.deliver
        (wire,) = sent
        for _ in range(2):
            again = requests.post(consumer.grant.address + PATH, wire, timeout=PATIENCE)
            assert again.status_code in (200, 409), "the same answer, or none"
        assert consumer.request("GET", "/own")[0] == 200
        assert status_of(consumer, wire) != 200 and times("/refused") == 0
