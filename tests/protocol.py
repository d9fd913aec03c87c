"""The protocol's computations, from docs/protocol.md alone, with the `cryptography`
package: what `consumer.py` and `producer.py` speak with real agents, and `test_vectors.py`
derives the published vectors with.
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass

from blake3 import blake3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

X25519, ENCAPSULATION = 32, 1184
TICKET, RECEIPT, SUB_TICKET, SUB_RECEIPT, TRANSIENT = 1, 2, 3, 4, 5
EMPTY, WHOLE, STREAM, REFUSED, ABORTED, LAST = 1, 2, 3, 4, 5, 6
ALL, FIRST, DATA, CHECKPOINT, SWITCH = 1, 2, 3, 4, 5
HEADER, MAC = 33, 16
SHARES = {1: (32, 32), 2: (1216, 2304), 3: (32, 32)}
SUB_SHARES = {1: (32, 32), 2: (1216, 1120), 3: (32, 32)}
STATEMENTS = {"ticket": 1, "receipt": 2, "transient": 3, "checkpoint request": 4, "checkpoint response": 4,
              "sub-ticket": 5, "sub-receipt": 6}
CONSUMERS = ("ticket", "sub-ticket", "checkpoint request")
DIRECTIONS = {TICKET: "request", RECEIPT: "response"}
DIGESTS = {1: hashlib.sha256, 2: blake3}
MAX_WHOLE, MAX_PIECE, MAX_UNVERIFIED = 256 * 1024, 64 * 1024, 1024 * 1024
NO_LANE = 2**32 - 1
# Of a mark's sequence: the direction ended there.
LAST_MARK = 2**63


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt, ikm, "sha256")


def expand(prk: bytes, info: bytes) -> bytes:
    """HKDF-Expand to 32 bytes: one block (RFC 5869, section 2.3)."""
    return hmac.digest(prk, info + b"\x01", "sha256")


def hpke_keys(dh: bytes, encapsulated: bytes, recipient: bytes, info: bytes) -> tuple[bytes, bytes]:
    """RFC 9180, base mode, DHKEM(X25519), HKDF-SHA256, ChaCha20Poly1305: key and first
    nonce. The package's own single-shot call takes no associated data."""

    def labeled(suite_id: bytes, label: bytes) -> bytes:
        return b"HPKE-v1" + suite_id + label

    def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        info = struct.pack(">H", length) + labeled(suite_id, label) + info
        return expand(prk, info)[:length]

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    eae_prk = extract(b"", labeled(kem, b"eae_prk") + dh)
    shared = labeled_expand(kem, eae_prk, b"shared_secret", encapsulated + recipient, 32)
    context = (
        b"\x00"
        + extract(b"", labeled(suite, b"psk_id_hash"))
        + extract(b"", labeled(suite, b"info_hash") + info)
    )
    secret = extract(shared, labeled(suite, b"secret"))
    return (labeled_expand(suite, secret, b"key", context, 32),
            labeled_expand(suite, secret, b"base_nonce", context, 12))


def hpke_open(key: X25519PrivateKey, sealed: bytes, info: bytes, aad: bytes) -> bytes:
    encapsulated, ciphertext = sealed[:32], sealed[32:]
    dh = key.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    found, nonce = hpke_keys(dh, encapsulated, raw(key.public_key()), info)
    return ChaCha20Poly1305(found).decrypt(nonce, ciphertext, aad)


def hpke_seal(recipient: bytes, plain: bytes, info: bytes, aad: bytes) -> bytes:
    own = X25519PrivateKey.generate()
    dh, encapsulated = own.exchange(X25519PublicKey.from_public_bytes(recipient)), raw(own.public_key())
    found, nonce = hpke_keys(dh, encapsulated, recipient, info)
    return encapsulated + ChaCha20Poly1305(found).encrypt(nonce, plain, aad)


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
        return self.agreed(peer_share[:X25519], peer_share[X25519 + ENCAPSULATION :])

    def agree_last(self, peer_share: bytes) -> bytes:
        """The same, with a share that nothing answers."""
        return self.agreed(peer_share[:X25519], peer_share[X25519:])

    def agreed(self, x25519: bytes, ciphertext: bytes) -> bytes:
        secret = self.x25519.exchange(X25519PublicKey.from_public_bytes(x25519))
        if self.ml_kem:
            secret += self.ml_kem.decapsulate(ciphertext)
        return secret

    def answer(self, peer_share: bytes) -> bytes:
        """The secret of a share that this one was encapsulated to."""
        secret = self.x25519.exchange(X25519PublicKey.from_public_bytes(peer_share[:X25519]))
        return secret + self.sent


def fields(label: str, *parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in (label.encode(), *parts))


def hashed(label: str, *parts: bytes) -> bytes:
    return h(fields("armour/2 " + label, *parts))


def expanded(key: bytes, label: str, *parts: bytes) -> bytes:
    return expand(key, fields("armour/2 " + label, *parts))


def mac(key: bytes, label: str, *parts: bytes) -> bytes:
    return hmac.digest(key, fields("armour/2 " + label, *parts), "sha256")


def padded(length: int, padding: int) -> int:
    if padding == 0 or length < 2:
        return length
    e = length.bit_length() - 1
    step = 1 << (e - e.bit_length())
    return (length + step - 1) // step * step


class WrongKey(AssertionError):
    """A head that commits to another key than the one that follows from these roots."""


class Cursor:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        assert len(taken) == count, "cut short"
        self.at += count
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count))

    def end(self):
        assert self.at == len(self.data), "something follows"


@dataclass
class Bundle:
    """One bundle's context and what follows from its secret."""

    suite: int
    context: bytes
    minted: bytes
    bundle: bytes
    consumer: Ed25519PublicKey
    producer: Ed25519PublicKey

    def __post_init__(self):
        self.ctx = h(self.context)
        self.prk = extract(b"armour/2 bundle", self.minted)
        self.gate = expanded(self.prk, "gate", self.ctx)

    def aead(self, key: bytes):
        return (AESGCM if self.suite == 3 else ChaCha20Poly1305)(key)

    def passed(self, frame: bytes, direction: str) -> bytes:
        """The head in a frame that passes the gate."""
        cursor = Cursor(frame)
        head = cursor.take(cursor.number(2) - MAC)
        assert cursor.take(MAC) == mac(self.gate, "gate " + direction, head)[:MAC]
        cursor.end()
        return head

    def after_begun(self, wire: bytes, ticket: "Head") -> bytes:
        """What of an answer follows the notice that its call has begun, if there is one."""
        if wire[:2] != struct.pack(">H", MAC):
            return wire
        assert wire[2 : 2 + MAC] == mac(self.gate, "gate begun", ticket.body)[:MAC]
        return wire[2 + MAC :]

    def prove(self, proof: Cursor, label: str, *said: bytes):
        """Checks a proof of what the direction's end says."""
        statement = fields("armour/2 " + label, self.ctx, *said)
        key = self.consumer if label in CONSUMERS else self.producer
        count = proof.number(1)
        if count == 1:
            return key.verify(proof.take(64), statement)
        assert 2 <= count <= 64
        index, salt = proof.number(1), proof.take(16)
        node = h(b"\0" + salt + statement)
        # From the root downwards: in which half the leaf is.
        first, size, sides = 0, count, []
        while size > 1:
            left = 1 << ((size - 1).bit_length() - 1)
            sides.append(index - first >= left)
            first, size = (first + left, size - left) if sides[-1] else (first, left)
        for right in reversed(sides):
            beside = proof.take(32)
            node = h(b"\1" + (beside + node if right else node + beside))
        kind = bytes([STATEMENTS[label]])
        batch = fields("armour/2 batch", kind, bytes([count]), node)
        key.verify(proof.take(64), batch)


@dataclass
class Head:
    """A ticket or receipt, taken apart."""

    bundle: Bundle
    wire: bytes
    kind: int

    def __post_init__(self):
        cursor = Cursor(self.wire)
        self.header = cursor.take(HEADER)
        assert self.header[:3] == bytes([2, self.bundle.suite, self.kind])
        assert self.header[3:19] == self.bundle.bundle and self.header[29:] == bytes(4)
        self.lane, self.n = struct.unpack(">HQ", self.header[19:29])
        self.previous = cursor.take(32)
        self.moment = cursor.number(8)
        self.mode, self.reason = cursor.number(1), cursor.number(1)
        self.commitment = cursor.take(32)
        first = self.n == 0
        alone, answer = SHARES[self.bundle.suite]
        self.share = cursor.take(alone if first and self.kind == TICKET else answer)
        self.replaces = self.log_head = None
        if first:
            if self.kind == TICKET:
                self.replaces = cursor.number(4)
            self.log_head = cursor.take(cursor.number(2))
        self.absorbed = self.wire[: cursor.at]
        self.key_commitment = cursor.take(32)
        rest = self.wire[HEADER + 32 : cursor.at]
        self.body = self.header + self.previous + hashed("rest", rest)
        self.rest = self.body[HEADER + 32 :]
        self.hash = hashed("body", self.body)
        self.proof = self.wire[cursor.at :]
        self.bundle.prove(cursor, "ticket" if self.kind == TICKET else "receipt", self.body)
        cursor.end()


@dataclass
class SubHead:
    """A sub-ticket or sub-receipt, taken apart."""

    bundle: Bundle
    wire: bytes
    kind: int

    def __post_init__(self):
        cursor = Cursor(self.wire)
        self.header = cursor.take(HEADER)
        assert self.header[:3] == bytes([2, self.bundle.suite, self.kind])
        assert self.header[3:19] == self.bundle.bundle
        self.lane, self.n, self.k = struct.unpack(">HQI", self.header[19:])
        assert self.n > 0 and self.k > 0
        self.previous = cursor.take(32)
        self.marks = [(cursor.number(8), cursor.take(32)) for _ in range(2)]
        assert all(map(is_mark, self.marks))
        self.share = cursor.take(SUB_SHARES[self.bundle.suite][self.kind == SUB_RECEIPT])
        self.session_part = self.wire[: cursor.at]
        self.key_commitment = cursor.take(32) if self.kind == SUB_RECEIPT else b""
        rest = self.wire[HEADER + 32 : cursor.at]
        self.body = self.header + self.previous + hashed("rest", rest)
        self.hash = hashed("body", self.body)
        label = "sub-ticket" if self.kind == SUB_TICKET else "sub-receipt"
        self.bundle.prove(cursor, label, self.body)
        cursor.end()


def is_mark(mark: tuple[int, bytes]) -> bool:
    """Nothing is the last of none."""
    sequence, digest = mark
    return mark == (0, bytes(32)) or (sequence % LAST_MARK > 0 and digest != bytes(32))


@dataclass
class Epoch:
    """What a re-keying gives both directions."""

    session: bytes
    commitment: bytes
    keys: dict[int, bytes]
    # Where each direction switches to it.
    marks: dict[int, tuple[int, bytes]]


class Lane:
    """Both ends' view of a lane: what either derives, the other must."""

    def __init__(self, bundle: Bundle, number: int):
        self.bundle, self.number = bundle, struct.pack(">H", number)
        bound = bundle.ctx, self.number
        self.roots = {
            TICKET: expanded(bundle.prk, "root consumer", *bound),
            RECEIPT: expanded(bundle.prk, "root producer", *bound),
        }
        self.transcript = hashed("transcript", *bound)
        self.link = hashed("opening", *bound)
        self.epochs, self.sub_link = [], bytes(32)

    def message(self, wire: bytes, kind: int, agreed: bytes) -> tuple[Head, bytes]:
        """The head and its key."""
        head = Head(self.bundle, wire, kind)
        if kind == TICKET:
            self.after_streams()
        assert head.previous == self.link
        self.transcript = hashed("absorb", self.transcript, head.absorbed)
        x = extract(self.roots[kind], agreed + self.transcript)
        if head.key_commitment != expanded(x, "commit"):
            raise WrongKey
        self.roots[kind] = expanded(x, "next")
        if kind == TICKET:
            self.ticket, self.link, self.sub_link = head, head.hash, bytes(32)
            self.stream, self.session = expanded(x, "stream"), head.hash
        else:
            self.receipt = head
            self.link = hashed("link", head.body, self.sub_link)
        return head, expanded(x, "key")

    def rekey(self, sub_ticket: bytes, sub_receipt: bytes, agree) -> Epoch:
        """Both messages, and what they agree on by the sub-receipt's share."""
        ticket = SubHead(self.bundle, sub_ticket, SUB_TICKET)
        receipt = SubHead(self.bundle, sub_receipt, SUB_RECEIPT)
        assert ticket.previous == (self.sub_link if self.epochs else self.ticket.hash)
        assert receipt.previous == ticket.hash and ticket.header[19:] == receipt.header[19:]
        assert (ticket.n, ticket.k) == (self.ticket.n, len(self.epochs) + 1)
        self.session, x = self.stepped(ticket, receipt.session_part, agree(receipt.share))
        if receipt.key_commitment != expanded(x, "commit"):
            raise WrongKey
        keys = {TICKET: expanded(x, "key request"), RECEIPT: expanded(x, "key response")}
        self.stream, self.sub_link = expanded(x, "next"), receipt.hash
        marks = {TICKET: ticket.marks[0], RECEIPT: receipt.marks[1]}
        self.epochs.append(Epoch(self.session, receipt.key_commitment, keys, marks))
        if self.link != self.ticket.hash:
            self.link = hashed("link", self.receipt.body, self.sub_link)
        return self.epochs[-1]

    def stepped(self, ticket: SubHead, answer: bytes, agreed: bytes) -> tuple[bytes, bytes]:
        """S and X of a sub-ticket and its answer's head, without key commitment and proof."""
        session = hashed("session", self.session, ticket.body, answer)
        return session, extract(self.stream, agreed + session)

    def after_streams(self):
        """An exchange is over: what re-keyed its streams goes into the lane's roots."""
        if self.epochs:
            self.roots = {kind: expanded(extract(root, self.stream), "stream")
                          for kind, root in self.roots.items()}
            self.epochs = []


class Body:
    """The segments of a message, opened and verified in order."""

    def __init__(self, head: Head, key: bytes, ticket: Head, body: bytes, epochs: list[Epoch] = ()):
        self.head, self.aead, self.ticket = head, head.bundle.aead(key), ticket
        self.epochs, self.k, self.session = epochs, 0, ticket.hash
        self.direction = "request" if head.kind == TICKET else "response"
        self.counter, self.content, self.marks = 0, b"", [(0, bytes(32))]
        self.peers, self.blinding, switched = [], None, False
        cursor, unverified, done = Cursor(body), b"", head.mode not in (WHOLE, STREAM)
        while cursor.at < len(body):
            assert not done, "nothing follows the last"
            opened, kind = self.segment(cursor)
            assert not switched or kind == CHECKPOINT, "a checkpoint comes behind a switch"
            switched = kind == SWITCH and self.counter > 1
            if kind in (ALL, FIRST):
                done = self.first(Cursor(opened), kind)
            elif kind == DATA:
                data = self.padded(Cursor(opened))
                assert data, "data has content"
                unverified += data
            elif kind == SWITCH:
                assert not unverified
                self.switch(Cursor(opened))
            else:
                assert kind == CHECKPOINT
                self.running.update(unverified)
                self.content, unverified = self.content + unverified, b""
                done = self.checkpoint(Cursor(opened))
        assert done and not unverified

    def segment(self, cursor: Cursor) -> tuple[bytes, int]:
        header = cursor.take(4)
        sealed = cursor.take(int.from_bytes(header[1:]))
        nonce = struct.pack(">4xQ", self.counter)
        self.counter += 1
        return self.aead.decrypt(nonce, sealed, self.head.hash + header), header[0]

    def first(self, cursor: Cursor, kind: int) -> bool:
        # Behind the switch, if it was re-keyed before its head was signed.
        assert (kind, self.counter) == (ALL if self.head.mode == WHOLE else FIRST, 2 if self.k else 1)
        self.blinding = cursor.take(32)
        digest_kind, self.padding = cursor.number(1), cursor.number(1)
        digest = DIGESTS[digest_kind]
        self.content = self.padded(cursor)
        claim = (bytes([self.head.mode]), bytes([digest_kind]), bytes([self.padding]),
                 struct.pack(">Q", len(self.content)), digest(self.content).digest())
        assert self.head.commitment == mac(self.blinding, "content " + self.direction, *claim)
        self.running = digest(self.blinding + self.content)
        return self.head.mode == WHOLE

    def switch(self, cursor: Cursor):
        assert self.counter > 1 or self.head.kind == RECEIPT, "only a response begins with one"
        k, commitment = cursor.number(4), cursor.take(32)
        cursor.end()
        assert k > self.k
        epoch = self.epochs[k - 1]
        assert commitment == epoch.commitment
        assert self.marks[-1] == epoch.marks[self.head.kind], "where its sender said"
        self.aead = self.head.bundle.aead(epoch.keys[self.head.kind])
        self.k, self.session = k, epoch.session

    def padded(self, cursor: Cursor) -> bytes:
        length = cursor.number(4)
        content = cursor.take(length)
        assert cursor.take(padded(length, self.padding) - length).strip(b"\0") == b""
        cursor.end()
        return content

    def checkpoint(self, cursor: Cursor) -> bool:
        peer, flags = (cursor.number(8), cursor.take(32)), cursor.number(1)
        assert flags in (0, 1) and is_mark(peer)
        sequence = self.marks[-1][0] + 1
        digest = self.running.digest()
        said = (struct.pack(">Q", self.head.n), struct.pack(">I", self.k),
                self.ticket.hash, self.session, struct.pack(">Q", sequence), struct.pack(">Q", len(self.content)), digest,
                struct.pack(">Q", peer[0]), peer[1], bytes([flags]))
        self.head.bundle.prove(cursor, "checkpoint " + self.direction, *said)
        cursor.end()
        mark = sequence + flags * LAST_MARK, digest
        ends = [epoch.marks[self.head.kind] for epoch in self.epochs[self.k :]]
        assert all(mark == end or sequence < end[0] % LAST_MARK and not flags for end in ends), (
            "nothing of an epoch comes behind its end")
        self.marks.append(mark)
        self.peers.append(peer)
        return flags == 1
