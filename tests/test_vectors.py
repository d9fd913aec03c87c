"""Derives the published test vectors anew, with `protocol.py`."""

import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import (
    EMPTY, HEADER, RECEIPT, REFUSED, STREAM, TICKET, TRANSIENT, WHOLE, Body, Bundle, Cursor, Head,
    Lane, Share, fields, hpke_open, raw,
)

VECTORS = Path(__file__).parent / "vectors"
MODES = [(EMPTY, EMPTY), (WHOLE, WHOLE), (EMPTY, EMPTY), (WHOLE, REFUSED), (STREAM, STREAM)]


class Vector:
    def __init__(self, suite: int):
        self.data = json.loads((VECTORS / f"v2-suite-{suite}.json").read_text())
        keys = [Ed25519PrivateKey.from_private_bytes(self[f"{end}_signing_secret"]).public_key()
                for end in ("consumer", "producer")]
        self.bundle = Bundle(suite, self["context"], self["minted_secret"], self["bundle"], *keys)

    def __getitem__(self, name: str) -> bytes:
        return bytes.fromhex(self.data[name])

    def share(self, message: dict) -> Share:
        drawn = message["drawn"]
        secrets = (bytes.fromhex(drawn[name])
                   for name in ("x25519_secret", "ml_kem_seed") if name in drawn)
        return Share(self.bundle.suite, *secrets)


@pytest.fixture(params=[1, 2, 3], ids=["suite 1", "suite 2", "suite 3"])
def vector(request) -> Vector:
    return Vector(request.param)


def test_context_gate_and_envelope(vector: Vector):
    data = vector.data
    ends = [bytes.fromhex(data[end][name]) for end in ("consumer", "producer")
            for name in ("party", "endpoint", "key")]
    context = fields(
        "armour/2 context", b"\2", bytes([data["suite"]]), vector["tenant"], vector["pair"],
        vector["bundle"], struct.pack(">Q", data["draw"]), vector["policy"], *ends)
    assert context == vector["context"] and len(context) == 290
    assert raw(vector.bundle.consumer) == ends[2] and raw(vector.bundle.producer) == ends[5]
    assert vector.bundle.gate == vector["gate"]
    envelope = {name: bytes.fromhex(value) for name, value in data["envelope"].items()}
    key = X25519PrivateKey.from_private_bytes(envelope["kem_secret"])
    opened = hpke_open(key, envelope["sealed"], b"armour/2 envelope", context)
    assert opened == vector["minted_secret"]


def test_exchanges(vector: Vector):
    lane, theirs, keys = Lane(vector.bundle, vector.data["lane"]), None, set()
    for n, exchange in enumerate(vector.data["exchanges"]):
        request, response = exchange["request"], exchange["response"]
        mine = vector.share(request)
        wire = vector.bundle.passed(bytes.fromhex(request["frame"]), "request")
        share = Head(vector.bundle, wire, TICKET).share
        assert share.startswith(mine.public())
        # The producer learns what the consumer agreed on from its own private half.
        ticket, key = lane.message(wire, TICKET, theirs.agree(share) if theirs else b"")
        sent = Body(ticket, key, ticket, bytes.fromhex(request["body"]))

        theirs = vector.share(response)
        wire = vector.bundle.passed(bytes.fromhex(response["frame"]), "response")
        share = Head(vector.bundle, wire, RECEIPT).share
        assert share.startswith(theirs.public())
        receipt, answer_key = lane.message(wire, RECEIPT, mine.agree(share))
        assert receipt.previous == ticket.hash
        replied = Body(receipt, answer_key, ticket, bytes.fromhex(response["body"]))

        assert (ticket.n, receipt.n) == (n, n)
        assert (ticket.mode, receipt.mode) == MODES[n]
        for message, body, found in ((request, sent, key), (response, replied, answer_key)):
            assert body.content.hex() == (message.get("content") or "")
            assert message.get("key") in (None, found.hex())
            if body.blinding:
                assert body.blinding.hex() == message["drawn"]["blinding"]
            keys.add(found)
        if n == 0:
            assert ticket.log_head == receipt.log_head == vector["log_head"]
            assert (ticket.moment, ticket.replaces) == (0, vector.data["replaces"])
        if receipt.mode == REFUSED:
            assert receipt.reason == 2
        if ticket.mode == STREAM:
            # Each side names how far it has verified the other.
            assert replied.peers == [sent.marks[1]]
            assert sent.peers == [sent.marks[0], replied.marks[1]]
    assert len(keys) == 2 * len(MODES), "no key is used twice"


def test_deadlines_follow_the_producers_clock(vector: Vector):
    """The vectors' clocks run alike; a call's budget is 2 s, an empty one's 0."""
    clock = arrived = None
    now = 10_000
    for wait, exchange, budget in zip([0, 1_234, 1_000, 0, 1], vector.data["exchanges"],
                                      [0, 2_000, 0, 2_000, 2_000]):
        now += wait
        ticket = Head(vector.bundle, vector.bundle.passed(
            bytes.fromhex(exchange["request"]["frame"]), "request"), TICKET)
        if clock is not None:
            elapsed = now - arrived + budget
            assert ticket.moment == clock + elapsed - -(-elapsed // 1_000)
        receipt = Head(vector.bundle, vector.bundle.passed(
            bytes.fromhex(exchange["response"]["frame"]), "response"), RECEIPT)
        clock, arrived = receipt.moment, now


def test_a_transient_refusal(vector: Vector):
    frames = {name: bytes.fromhex(frame) for name, frame in vector.data["put_off"].items()}
    ticket = Head(vector.bundle, vector.bundle.passed(frames["ticket"], "request"), TICKET)
    cursor = Cursor(vector.bundle.passed(frames["transient"], "response"))
    said = cursor.take(HEADER)
    assert said[2] == TRANSIENT and said[3:] == ticket.header[3:]
    said += cursor.take(32 + 1 + 4)
    assert said[HEADER:] == ticket.hash + b"\x08" + struct.pack(">I", 250)
    vector.bundle.prove(cursor, "transient", said)
    cursor.end()


def test_this_verifier_can_fail(vector: Vector):
    exchange = vector.data["exchanges"][1]["request"]
    frame, key, body = (bytes.fromhex(exchange[name]) for name in ("frame", "key", "body"))
    head = Head(vector.bundle, frame[2:-16], TICKET)
    for at in range(4, len(body)):
        damaged = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(InvalidTag):
            Body(head, key, head, damaged)
    damaged = bytearray(frame[2:-16])
    damaged[HEADER] ^= 1
    with pytest.raises(InvalidSignature):
        Head(vector.bundle, bytes(damaged), TICKET)
