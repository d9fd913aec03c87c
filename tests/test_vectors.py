"""Derives the published test vectors anew from docs/protocol.md alone, with the
`cryptography` package: a second implementation of the protocol's computations.
"""

import hashlib
import hmac
import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

VECTORS = Path(__file__).parent / "vectors"
TICKET = 94
SIGNATURE = 64
RESPONSE_FIXED = 62
COMMITMENT = 32
LAST = 1 << 31


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt, ikm, "sha256")


def expand(prk: bytes, info: bytes) -> bytes:
    """HKDF-Expand to 32 bytes: one block (RFC 5869, section 2.3)."""
    return hmac.digest(prk, info + b"\x01", "sha256")


def hpke_open(key: X25519PrivateKey, sealed: bytes, info: bytes, aad: bytes) -> bytes:
    """RFC 9180, base mode, DHKEM(X25519), HKDF-SHA256, ChaCha20Poly1305. The
    package's own single-shot call takes no associated data."""

    def labeled(suite_id: bytes, label: bytes) -> bytes:
        return b"HPKE-v1" + suite_id + label

    def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        info = struct.pack(">H", length) + labeled(suite_id, label) + info
        return expand(prk, info)[:length]

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    encapsulated, ciphertext = sealed[:32], sealed[32:]
    dh = key.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    eae_prk = extract(b"", labeled(kem, b"eae_prk") + dh)
    shared = labeled_expand(
        kem, eae_prk, b"shared_secret", encapsulated + raw(key.public_key()), 32)
    context = (
        b"\x00"
        + extract(b"", labeled(suite, b"psk_id_hash"))
        + extract(b"", labeled(suite, b"info_hash") + info)
    )
    secret = extract(shared, labeled(suite, b"secret"))
    aead_key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(aead_key).decrypt(nonce, ciphertext, aad)


def raw(public_key) -> bytes:
    return public_key.public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )


class Vector:
    def __init__(self, path: Path):
        self.data = json.loads(path.read_text())
        self.suite = self.data["suite"]
        self.consumer = Ed25519PrivateKey.from_private_bytes(self["consumer_signing_secret"])
        self.producer = Ed25519PrivateKey.from_private_bytes(self["producer_signing_secret"])

    def __getitem__(self, name: str) -> bytes:
        return bytes.fromhex(self.data[name])

    def context(self) -> bytes:
        names = ["tenant", "pair", "bundle", "consumer", "producer"]
        return (
            bytes([self.suite])
            + b"".join(self[name] for name in names)
            + raw(self.consumer.public_key())
            + raw(self.producer.public_key())
        )


class Share:
    """A key share and its private half."""

    def __init__(self, suite: int, ephemerals: dict):
        self.suite = suite
        self.x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(ephemerals["x25519_secret"]))
        self.ml_kem = None
        if suite == 2:
            seed = bytes.fromhex(ephemerals["ml_kem_seed"])
            self.ml_kem = MLKEM768PrivateKey.from_seed_bytes(seed)

    def public(self) -> bytes:
        public = raw(self.x25519.public_key())
        if self.ml_kem:
            public += raw(self.ml_kem.public_key())
        return public

    def agree(self, peer_share: bytes) -> bytes:
        """With a share of the peer's that answers this one."""
        secret = self.x25519.exchange(X25519PublicKey.from_public_bytes(peer_share[:32]))
        if self.ml_kem:
            secret += self.ml_kem.decapsulate(peer_share[32 + 1184 :])
        return secret


def open_body(key: bytes, associated_data: bytes, signer: Ed25519PublicKey, transcript: bytes, body: bytes) -> bytes:
    content, counter, at, done = b"", 0, 0, False
    while at < len(body):
        assert not done, "nothing follows the last segment"
        (word,) = struct.unpack(">I", body[at : at + 4])
        done, length = bool(word & LAST), word & (LAST - 1)
        sealed = body[at + 4 : at + 4 + length]
        nonce = bytes(7) + struct.pack(">IB", counter, done)
        content += ChaCha20Poly1305(key).decrypt(nonce, sealed, associated_data)
        at += 4 + length
        counter += 1
    assert done
    content, signature = content[:-SIGNATURE], content[-SIGNATURE:]
    signer.verify(signature, b"armour/1 payload" + transcript + h(content))
    return content


def ratchet(root: bytes, transcript: bytes, head: bytes, secret: bytes):
    """The root that is kept, transcript, key and commitment after a message's head."""
    transcript = h(transcript + head[:-COMMITMENT])
    extracted = extract(root, secret + transcript)
    root, key, commitment = (
        expand(extracted, b"armour/1 " + label) for label in (b"next", b"key", b"commit"))
    return root, transcript, key, commitment


@pytest.fixture(params=[1, 2], ids=["suite 1", "suite 2"])
def vector(request) -> Vector:
    return Vector(VECTORS / f"suite-{request.param}.json")


def test_context_and_envelope(vector: Vector):
    assert vector["context"] == vector.context()
    envelope = {name: bytes.fromhex(value) for name, value in vector.data["envelope"].items()}
    key = X25519PrivateKey.from_private_bytes(envelope["kem_secret"])
    assert raw(key.public_key()) == envelope["kem_public"]
    opened = hpke_open(key, envelope["sealed"], b"armour/1 envelope", vector.context())
    assert opened == vector["minted_secret"]


def test_exchanges(vector: Vector):
    context, lane = vector.context(), struct.pack(">I", vector.data["lane"])
    prk = extract(b"armour/1 bundle", vector["minted_secret"])
    consumer_root = expand(prk, b"armour/1 root consumer" + context + lane)
    producer_root = expand(prk, b"armour/1 root producer" + context + lane)
    transcript = h(b"armour/1 transcript" + context + lane)
    previous, theirs, entries, keys = bytes(32), None, b"", set()
    for n, exchange in enumerate(vector.data["exchanges"]):
        request = {k: bytes.fromhex(v) for k, v in exchange["request"].items() if k != "ephemerals"}
        response = {k: bytes.fromhex(v) for k, v in exchange["response"].items() if k != "ephemerals"}
        mine = Share(vector.suite, exchange["request"]["ephemerals"])

        # The request: ticket, signature, share, commitment.
        head = request["head"]
        share = head[TICKET + SIGNATURE : -COMMITMENT]
        assert share.startswith(mine.public())
        ticket = (
            bytes([1, vector.suite])
            + vector["bundle"]
            + lane
            + struct.pack(">Q", n)
            + previous
            + h(share)
        )
        assert head[:TICKET] == ticket
        signature = vector.consumer.sign(b"armour/1 ticket" + ticket)
        assert head[TICKET : TICKET + SIGNATURE] == signature
        # The producer's latest share is what the consumer answers; the producer
        # learns the same from its own private half.
        secret = theirs.agree(share) if theirs else b""
        consumer_root, transcript, key, commitment = ratchet(consumer_root, transcript, head, secret)
        assert (key, commitment, transcript) == (
            request["key"], head[-COMMITMENT:], request["transcript"])
        content = open_body(key, ticket, vector.consumer.public_key(), transcript, request["body"])
        assert content == request["content"]
        keys.add(key)

        # The response.
        previous = h(ticket)
        assert previous.hex() == exchange["ticket_hash"]
        entries += h(share) + signature
        head = response["head"]
        fixed = ticket[:30] + previous
        assert head[:RESPONSE_FIXED] == fixed
        share = head[RESPONSE_FIXED:-COMMITMENT]
        theirs = Share(vector.suite, exchange["response"]["ephemerals"])
        assert share.startswith(theirs.public())
        producer_root, transcript, key, commitment = ratchet(
            producer_root, transcript, head, mine.agree(share))
        assert (key, commitment, transcript) == (
            response["key"], head[-COMMITMENT:], response["transcript"])
        content = open_body(key, fixed, vector.producer.public_key(), transcript, response["body"])
        assert content == response["content"]
        keys.add(key)
    assert len(keys) == 2 * len(vector.data["exchanges"]), "no key is used twice"
    assert entries == vector["ledger_entries"]


def test_this_verifier_can_fail(vector: Vector):
    exchange = vector.data["exchanges"][1]["request"]
    key, head, transcript, body = (
        bytes.fromhex(exchange[name]) for name in ["key", "head", "transcript", "body"])
    signer = vector.consumer.public_key()
    for at in range(4, len(body)):
        damaged = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(InvalidTag):
            open_body(key, head[:TICKET], signer, transcript, damaged)
    with pytest.raises(InvalidSignature):
        open_body(key, head[:TICKET], vector.producer.public_key(), transcript, body)
