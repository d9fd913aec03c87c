"""The sending half of the protocol, from docs/protocol.md alone: heads that are issued, and
content that is sealed under them.
"""

import os
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import (
    ALL, CHECKPOINT, DATA, DIGESTS, DIRECTIONS, FIRST, HEADER, LAST_MARK, MAC, MAX_PIECE, MAX_UNVERIFIED,
    MAX_WHOLE, RECEIPT, STREAM, SUB_RECEIPT, SUB_TICKET, SWITCH, TICKET, WHOLE, Bundle, Epoch, Head, Lane,
    Share, SubHead, expanded, extract, fields, hashed, mac, padded, raw,
)

NO_CONTENT = bytes(32)
NO_MARK = (0, bytes(32))


def sign(bundle: Bundle, key: Ed25519PrivateKey, label: str, *said: bytes) -> bytes:
    """A proof of its own."""
    return b"\1" + key.sign(fields("armour/2 " + label, bundle.ctx, *said))


def frame(bundle: Bundle, direction: str, head: bytes) -> bytes:
    tag = mac(bundle.gate, "gate " + direction, head)[:MAC]
    return struct.pack(">H", len(head) + MAC) + head + tag


class Content:
    """What a message carries: whole, or a stream of several segments."""

    def __init__(self, bundle: Bundle, kind: int, content: bytes, padding: int = 0,
                 stream: bool = False):
        self.bundle, self.kind, self.direction = bundle, kind, DIRECTIONS[kind]
        self.content, self.padding, self.blinding = content, padding, os.urandom(32)
        self.mode = STREAM if stream or len(content) > MAX_WHOLE else WHOLE
        self.first = content if self.mode == WHOLE else content[:MAX_PIECE]
        self.digest = 1 if len(content) < MAX_PIECE else 2
        self.commitment = mac(
            self.blinding, "content " + self.direction, bytes([self.mode]), bytes([self.digest]),
            bytes([padding]), struct.pack(">Q", len(self.first)), self.hashed(self.first).digest())

    def hashed(self, data: bytes):
        return DIGESTS[self.digest](data)

    def seal(self, body: bytes, key: bytes, ticket: bytes, n: int, signer: Ed25519PrivateKey,
             peer: tuple[int, bytes] = NO_MARK, epoch: tuple[int, Epoch] | None = None) -> bytes:
        """Under the key of the head whose body this is; in an epoch, behind a switch, if the
        streams were re-keyed before that."""
        sealing = self.begin(body, key, ticket, n, signer)
        if epoch:
            sealing.switch(*epoch)
        sealing.first()
        sent = len(self.first)
        while self.mode == STREAM and not sealing.done:
            piece = self.content[sent : sent + MAX_PIECE]
            sent += len(piece)
            sealing.push(piece)
            last = sent == len(self.content)
            if last or sealing.unsigned + MAX_PIECE > MAX_UNVERIFIED:
                sealing.checkpoint(peer, last)
        return sealing.taken()

    def begin(self, body: bytes, key: bytes, ticket: bytes, n: int, signer: Ed25519PrivateKey):
        return Sealing(self, body, key, ticket, n, signer)


class Sealing:
    """A message on its way out, segment by segment."""

    def __init__(self, content: Content, body: bytes, key: bytes, ticket: bytes, n: int,
                 signer: Ed25519PrivateKey):
        self.content, self.body, self.ticket, self.n, self.signer = content, body, ticket, n, signer
        self.bundle, self.aead = content.bundle, content.bundle.aead(key)
        self.k, self.session, self.out, self.counter = 0, ticket, b"", 0
        self.sent, self.unsigned, self.mark, self.done = 0, 0, NO_MARK, False
        self.running = content.hashed(content.blinding)

    def segment(self, kind: int, plain: bytes):
        header = bytes([kind]) + struct.pack(">I", len(plain) + 16)[1:]
        nonce = struct.pack(">4xQ", self.counter)
        self.counter += 1
        self.out += header + self.aead.encrypt(nonce, plain, hashed("body", self.body) + header)

    def taken(self) -> bytes:
        """What was sealed since the last time."""
        out, self.out = self.out, b""
        return out

    def first(self):
        content = self.content
        kinds = bytes([content.digest, content.padding])
        self.segment(ALL if content.mode == WHOLE else FIRST,
                     content.blinding + kinds + self.measured(content.first))
        self.running.update(content.first)
        self.sent += len(content.first)

    def push(self, piece: bytes):
        self.segment(DATA, self.measured(piece))
        self.running.update(piece)
        self.sent, self.unsigned = self.sent + len(piece), self.unsigned + len(piece)

    def checkpoint(self, peer: tuple[int, bytes] = NO_MARK, last: bool = False):
        sequence, self.unsigned, self.done = self.mark[0] + 1, 0, last
        said = (struct.pack(">Q", self.n), struct.pack(">I", self.k), self.ticket, self.session,
                struct.pack(">Q", sequence), struct.pack(">Q", self.sent), self.running.digest(),
                struct.pack(">Q", peer[0]), peer[1], bytes([last]))
        label = "checkpoint " + self.content.direction
        proof = sign(self.bundle, self.signer, label, *said)
        self.segment(CHECKPOINT, struct.pack(">Q", peer[0]) + peer[1] + bytes([last]) + proof)
        self.mark = sequence + last * LAST_MARK, self.running.digest()

    def switch(self, k: int, epoch: Epoch):
        self.segment(SWITCH, struct.pack(">I", k) + epoch.commitment)
        self.aead = self.bundle.aead(epoch.keys[self.content.kind])
        self.k, self.session = k, epoch.session

    def measured(self, piece: bytes) -> bytes:
        zeros = padded(len(piece), self.content.padding) - len(piece)
        return struct.pack(">I", len(piece)) + piece + bytes(zeros)


def issue(lane: Lane, kind: int, n: int, moment: int, mode: int, share: Share, agreed: bytes,
          signer: Ed25519PrivateKey, commitment: bytes = NO_CONTENT, reason: int = 0,
          opening: bytes = b"") -> tuple[bytes, bytes]:
    """The lane's next head, and its key. The lane has moved on."""
    bundle = lane.bundle
    header = bytes([2, bundle.suite, kind]) + bundle.bundle + lane.number + struct.pack(">Q4x", n)
    if kind == TICKET:
        lane.after_streams()
    rest = (struct.pack(">Q", moment) + bytes([mode, reason]) + commitment + share.public()
            + opening)
    absorbed = header + lane.link + rest
    transcript = hashed("absorb", lane.transcript, absorbed)
    x = extract(lane.roots[kind], agreed + transcript)
    key_commitment = expanded(x, "commit")
    body = header + lane.link + hashed("rest", rest + key_commitment)
    label = "ticket" if kind == TICKET else "receipt"
    head = absorbed + key_commitment + sign(bundle, signer, label, body)
    lane.transcript, lane.roots[kind] = transcript, expanded(x, "next")
    if kind == TICKET:
        lane.ticket, lane.sub_link = Head(bundle, head, kind), bytes(32)
        lane.link = lane.session = lane.ticket.hash
        lane.stream = expanded(x, "stream")
    else:
        lane.receipt, lane.link = Head(bundle, head, kind), hashed("link", body, lane.sub_link)
    return head, expanded(x, "key")


def opening_of(kind: int, replaces: int, log_head: bytes = b"") -> bytes:
    """What heads of exchange 0 say besides."""
    lane = struct.pack(">I", replaces) if kind == TICKET else b""
    assert kind in (TICKET, RECEIPT)
    return lane + struct.pack(">H", len(log_head)) + log_head


def sub_ticket(lane: Lane, share: Share, marks, signer: Ed25519PrivateKey) -> bytes:
    """The head of the next sub-ticket of the lane's exchange."""
    k = len(lane.epochs) + 1
    at = lane.number + struct.pack(">QI", lane.ticket.n, k)
    previous = lane.sub_link if lane.epochs else lane.ticket.hash
    front = sub_front(lane.bundle, SUB_TICKET, at, previous, marks, share.public())
    return sub_signed(lane.bundle, SUB_TICKET, front, signer)


def sub_receipt(lane: Lane, ticket: SubHead, marks, signer: Ed25519PrivateKey) -> tuple[bytes, Epoch]:
    """The head of a sub-ticket's answer, and the epoch that the lane's streams are in by it."""
    share = Share(lane.bundle.suite)
    share.encapsulate_to(ticket.share)
    agreed, own = share.answer(ticket.share), raw(share.x25519.public_key()) + share.ciphertext
    front = sub_front(lane.bundle, SUB_RECEIPT, ticket.header[19:], ticket.hash, marks, own)
    _, x = lane.stepped(ticket, front, agreed)
    wire = sub_signed(lane.bundle, SUB_RECEIPT, front, signer, expanded(x, "commit"))
    return wire, lane.rekey(ticket.wire, wire, lambda _: agreed)


def sub_front(bundle: Bundle, kind: int, at: bytes, previous: bytes, marks, share: bytes) -> bytes:
    named = b"".join(struct.pack(">Q", sequence) + digest for sequence, digest in marks)
    return bytes([2, bundle.suite, kind]) + bundle.bundle + at + previous + named + share


def sub_signed(bundle: Bundle, kind: int, front: bytes, signer: Ed25519PrivateKey,
               key_commitment: bytes = b"") -> bytes:
    header, previous, rest = front[:HEADER], front[HEADER:][:32], front[HEADER + 32 :]
    body = header + previous + hashed("rest", rest + key_commitment)
    label = "sub-ticket" if kind == SUB_TICKET else "sub-receipt"
    return front + key_commitment + sign(bundle, signer, label, body)
