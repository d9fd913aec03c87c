"""The protocol's computations, from docs/protocol.md alone, with the `cryptography`
package: what `consumer.py` speaks with a real producer, and `test_vectors.py` derives the
published vectors with.
"""

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

TICKET = 94
SIGNATURE = 64
RESPONSE_FIXED = 62
COMMITMENT = 32
MAX_CONTENT = 65_536
LAST = 1 << 31
X25519 = 32
ENCAPSULATION = 1184
CIPHERTEXT = 1088


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


class Share:
    """A key share and its private half; for suite 2 the ciphertext to the peer's latest
    encapsulation key belongs to it, unless it is the opening one.
    """

    def __init__(self, suite: int, x25519: bytes | None = None, ml_kem: bytes | None = None):
        self.x25519 = X25519PrivateKey.from_private_bytes(x25519 or os.urandom(32))
        self.ml_kem = None
        if suite == 2:
            self.ml_kem = MLKEM768PrivateKey.from_seed_bytes(ml_kem or os.urandom(64))
        self.sent, self.ciphertext = b"", b""

    def encapsulate_to(self, peer_share: bytes):
        """Answers a share of the peer's."""
        if self.ml_kem:
            key = peer_share[X25519 : X25519 + ENCAPSULATION]
            self.sent, self.ciphertext = MLKEM768PublicKey.from_public_bytes(key).encapsulate()

    def public(self) -> bytes:
        public = raw(self.x25519.public_key())
        if self.ml_kem:
            public += raw(self.ml_kem.public_key()) + self.ciphertext
        return public

    def agree(self, peer_share: bytes) -> bytes:
        """With a share of the peer's that answers this one."""
        secret = self.x25519.exchange(X25519PublicKey.from_public_bytes(peer_share[:X25519]))
        if self.ml_kem:
            secret += self.ml_kem.decapsulate(peer_share[X25519 + ENCAPSULATION :])
        return secret

    def answer(self, peer_share: bytes) -> bytes:
        """The secret of a share that this one was encapsulated to."""
        secret = self.x25519.exchange(X25519PublicKey.from_public_bytes(peer_share[:X25519]))
        return secret + self.sent


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


def seal_body(key: bytes, associated_data: bytes, sign, transcript: bytes, content: bytes) -> bytes:
    """Segments of a body, the last one with the sender's signature."""
    pieces = [content[at : at + MAX_CONTENT] for at in range(0, len(content), MAX_CONTENT)] or [b""]
    pieces[-1] += sign(b"armour/1 payload" + transcript + h(content))
    body = b""
    for counter, piece in enumerate(pieces):
        last = counter == len(pieces) - 1
        nonce = bytes(7) + struct.pack(">IB", counter, last)
        sealed = ChaCha20Poly1305(key).encrypt(nonce, piece, associated_data)
        body += struct.pack(">I", len(sealed) | (LAST if last else 0)) + sealed
    return body


def first_roots(context: bytes, minted: bytes, lane: bytes):
    """The consumer's root, the producer's, and the transcript."""
    prk = extract(b"armour/1 bundle", minted)
    return (
        expand(prk, b"armour/1 root consumer" + context + lane),
        expand(prk, b"armour/1 root producer" + context + lane),
        h(b"armour/1 transcript" + context + lane),
    )
