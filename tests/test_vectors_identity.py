"""Derives the published test vectors of identities anew, from docs/protocol.md
alone.
"""

import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol import Cursor, fields, h, raw

DATA = json.loads((Path(__file__).parent / "vectors" / "v2-identity.json").read_text())
ENDPOINT = bytes.fromhex(DATA["endpoint"])
LONG_TERM = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(DATA["long_term_secret"]))
NONE = bytes(32)


def secret(name: str, data: dict = DATA) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(data[name]))


def verify(key: bytes, signature: bytes, statement: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)


def certified(data: bytes, tenant: bytes, party: bytes, pin: bytes) -> tuple[bytes, int]:
    """The long-term key that the pinned party vouches for, and until when."""
    cursor = Cursor(data)
    assert cursor.take(1) == b"\2"
    through = cursor.number(1)
    subject = [cursor.take(count) for count in (16, 16, 1, 16, 32, 32, 8)]
    assert subject[:4] == [tenant, party, b"\2", ENDPOINT]
    signer, until = pin, int.from_bytes(subject[6])
    if through:
        key, not_after, signature = cursor.take(32), cursor.take(8), cursor.take(64)
        verify(pin, signature, fields("armour/2 party certifier", tenant, party, key, not_after))
        signer, until = key, min(until, int.from_bytes(not_after))
    verify(signer, cursor.take(64), fields("armour/2 party endpoint", *subject))
    cursor.end()
    return subject[4], until


class Start:
    def __init__(self, data: bytes):
        cursor = Cursor(data)
        assert cursor.take(1) == b"\2" and cursor.take(16) == ENDPOINT
        self.counter = cursor.number(8)
        self.answered = cursor.take(32)
        self.since = [cursor.take(32) for _ in range(cursor.number(2))]
        self.key, self.hpke_key = cursor.take(32), cursor.take(32)
        self.statement = fields(
            "armour/2 start", ENDPOINT, struct.pack(">Q", self.counter), self.answered,
            b"".join(self.since), self.key, self.hpke_key)
        self.hash = h(self.statement)
        self.signature = cursor.take(64)
        verify(raw(LONG_TERM.public_key()), self.signature, self.statement)
        cursor.end()


def record(counter: int, answered: bytes, since: list[bytes]) -> bytes:
    return (b"\2" + ENDPOINT + struct.pack(">Q", counter) + answered
            + struct.pack(">H", len(since)) + b"".join(since))


def link(data: bytes, start: bytes, evidence: bytes) -> tuple:
    """A link's k, previous, kind, body, hash, and what verifies its signature."""
    cursor = Cursor(data)
    head = cursor.take(1 + 16 + 32)
    assert head == b"\2" + ENDPOINT + start
    k, previous, kind = cursor.take(8), cursor.take(32), cursor.take(1)
    body = cursor.take(cursor.number(4))
    signature = cursor.take(64)
    cursor.end()
    assert evidence == head + k + previous + kind + h(body) + signature
    statement = fields("armour/2 control link", ENDPOINT, start, k, previous, kind, h(body))
    return (int.from_bytes(k), previous, kind[0], body, h(statement),
            lambda key: verify(key, signature, statement))


@pytest.fixture
def starts() -> list[Start]:
    return [Start(bytes.fromhex(one["start"])) for one in DATA["starts"]]


@pytest.mark.parametrize("form, length", [("direct", 187), ("through", 291)])
def test_certificates(form: str, length: int):
    data = DATA["certificates"]
    pin = raw(secret("party_secret", data).public_key())
    where = (bytes.fromhex(data["tenant"]), bytes.fromhex(data["party"]))
    certificate = bytes.fromhex(data[form])
    assert len(certificate) == length
    found = certified(certificate, *where, pin)
    assert found == (raw(LONG_TERM.public_key()), data[f"{form}_until"])
    with pytest.raises(InvalidSignature):
        certified(certificate[:-1] + bytes([certificate[-1] ^ 1]), *where, pin)
    with pytest.raises(InvalidSignature):
        certified(certificate, *where, raw(secret("certifier_secret", data).public_key())
                  if form == "through" else raw(LONG_TERM.public_key()))


def test_starts_and_what_is_kept(starts: list[Start]):
    unanswered, first, second = starts
    assert [one.counter for one in starts] == [1, 2, 3]
    assert (unanswered.answered, unanswered.since) == (NONE, [])
    assert (first.answered, first.since) == (NONE, [unanswered.hash])
    assert (second.answered, second.since) == (first.hash, [])
    for one, shown in zip(starts, DATA["starts"]):
        assert raw(secret("key_secret", shown).public_key()) == one.key
        assert LONG_TERM.sign(one.statement) == one.signature
        kept = record(one.counter, one.answered, [*one.since, one.hash])
        assert kept.hex() == shown["kept"]
    assert record(0, NONE, []).hex() == DATA["fresh"]
    assert record(2, first.hash, []).hex() == DATA["answered"]


def test_presence(starts: list[Start]):
    _, first, second = starts
    statement = fields("armour/2 presence", ENDPOINT, first.hash, second.hash)
    verify(first.key, bytes.fromhex(DATA["presence"]), statement)


def test_links(starts: list[Start]):
    start = starts[1]
    key, previous, kinds, bodies = start.key, start.hash, [], {}
    for k, shown in enumerate(DATA["links"], 1):
        evidence = bytes.fromhex(shown["evidence"])
        assert len(evidence) == 186
        found = link(bytes.fromhex(shown["link"]), start.hash, evidence)
        number, named, kind, body, hashed, verified = found
        assert (number, named) == (k, previous)
        verified(key)
        previous = hashed
        kinds.append(kind)
        bodies.setdefault(kind, body)
        if kind == 6:
            key = body[:32]
            assert key == raw(secret("renewed_secret").public_key()) and len(body) == 64
            with pytest.raises(InvalidSignature):
                verified(key)
    assert kinds == [1, 2, 6, 3, 4, 7, 5, 5]
    bundle = b"\x12" * 16

    def mark(lane: int) -> bytes:
        return struct.pack(">HQI", lane, 7, 0) + b"\x17" * 32

    assert bodies[1] == b"a heartbeat"
    assert bodies[2] == b"\0\1" + b"\x11" * 16 + struct.pack(">Q", 1) + b"\x13" * 16
    assert bodies[3] == b"\0\1" + bundle + b"\x16" * 32
    assert bodies[4] == (
        b"\0\4" + b"\1" + struct.pack(">Q", 4) + b"\x18" * 32 + b"\2" + b"\x19" * 32
        + b"\3" + bundle + mark(0) + b"\4" + bundle + mark(1))
    assert bodies[5] == b"\0" + b"\0\1" + bundle + b"\0\0\0\2" + mark(0) + mark(2)
    assert body == b"\1" + b"\0\0", "it leaves without a bundle"
    assert bodies[7] == b"\1"
