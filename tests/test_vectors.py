"""Derives the published test vectors anew, with `protocol.py`."""

import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol import (
    EMPTY, HEADER, RECEIPT, REFUSED, STREAM, SUB_RECEIPT, SUB_TICKET, SWITCH, TICKET, TRANSIENT, WHOLE, Body,
    Bundle, Cursor, Head, Lane, Share, SubHead, WrongKey, fields, hpke_open, raw,
)

VECTORS = Path(__file__).parent / "vectors"
MODES = [(EMPTY, EMPTY), (WHOLE, WHOLE), (EMPTY, EMPTY), (WHOLE, REFUSED), (STREAM, STREAM),
         (STREAM, STREAM), (WHOLE, WHOLE)]


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


    def rekey(self, lane: Lane, rekeying: dict):
        """Both ends find the same keys, which are the published ones."""
        ticket = self.bundle.passed(bytes.fromhex(rekeying["sub_ticket"]["frame"]), "request")
        receipt = self.bundle.passed(bytes.fromhex(rekeying["sub_receipt"]["frame"]), "response")
        mine, theirs = (self.share(rekeying[name]) for name in ("sub_ticket", "sub_receipt"))
        share = SubHead(self.bundle, receipt, SUB_RECEIPT).share
        said = SubHead(self.bundle, ticket, SUB_TICKET).share
        assert said == mine.public() and share.startswith(raw(theirs.x25519.public_key()))
        classical = X25519PublicKey.from_public_bytes(said[:32])
        assert mine.agree_last(share).startswith(theirs.x25519.exchange(classical))
        epoch = lane.rekey(ticket, receipt, mine.agree_last)
        assert [key.hex() for key in epoch.keys.values()] == rekeying["keys"]


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
        early, late = ([rekeying for rekeying in exchange.get("rekeyings", [])
                        if rekeying["after_receipt"] == after] for after in (False, True))
        for rekeying in early:
            vector.rekey(lane, rekeying)

        theirs = vector.share(response)
        wire = vector.bundle.passed(bytes.fromhex(response["frame"]), "response")
        share = Head(vector.bundle, wire, RECEIPT).share
        assert share.startswith(theirs.public())
        receipt, answer_key = lane.message(wire, RECEIPT, mine.agree(share))
        assert receipt.previous == ticket.hash
        for rekeying in late:
            vector.rekey(lane, rekeying)
        sent = Body(ticket, key, ticket, bytes.fromhex(request["body"]), lane.epochs)
        replied = Body(receipt, answer_key, ticket, bytes.fromhex(response["body"]), lane.epochs)
        keys.update(key for epoch in lane.epochs for key in epoch.keys.values())

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
        if lane.epochs:
            # Each direction ends in the last epoch. The response begins with a switch to the
            # first, since its receipt's key does not depend on it.
            assert [body.k for body in (sent, replied)] == [2, 2] == [len(lane.epochs)] * 2
            assert bytes.fromhex(response["body"])[0] == SWITCH
        elif ticket.mode == STREAM:
            # Each side names how far it has verified the other.
            assert replied.peers == [sent.marks[1]]
            assert sent.peers == [sent.marks[0], replied.marks[1]]
    assert len(keys) == 2 * len(MODES) + 4, "no key is used twice"


def test_deadlines_follow_the_producers_clock(vector: Vector):
    """The vectors' clocks run alike; a call's budget is 2 s, an empty one's 0."""
    clock = arrived = None
    now = 10_000
    for wait, exchange, budget in zip([0, 1_234, 1_000, 0, 1, 0, 0], vector.data["exchanges"],
                                      [0, 2_000, 0, 2_000, 2_000, 2_000, 2_000], strict=True):
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


def test_a_sub_receipt_commits_to_the_keys_that_follow(vector: Vector):
    lane = Lane(vector.bundle, vector.data["lane"])
    theirs = None
    for exchange in vector.data["exchanges"][:6]:
        mine = vector.share(exchange["request"])
        wire = vector.bundle.passed(bytes.fromhex(exchange["request"]["frame"]), "request")
        share = Head(vector.bundle, wire, TICKET).share
        lane.message(wire, TICKET, theirs.agree(share) if theirs else b"")
        theirs = vector.share(exchange["response"])
        if "rekeyings" in exchange:
            break
        wire = vector.bundle.passed(bytes.fromhex(exchange["response"]["frame"]), "response")
        lane.message(wire, RECEIPT, mine.agree(Head(vector.bundle, wire, RECEIPT).share))
    rekeying = exchange["rekeyings"][0]
    wires = [vector.bundle.passed(bytes.fromhex(rekeying[name]["frame"]), direction)
             for name, direction in (("sub_ticket", "request"), ("sub_receipt", "response"))]
    # Whoever holds the stream's root, but neither private half.
    with pytest.raises(WrongKey):
        lane.rekey(*wires, lambda share: Share(vector.bundle.suite).x25519.exchange(
            X25519PublicKey.from_public_bytes(share[:32])))


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
