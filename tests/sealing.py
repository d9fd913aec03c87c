"""The sending half of the protocol, from docs/protocol.md alone: heads that are issued, and
content that is sealed under them.
"""

import os
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import (
    ALL, CHECKPOINT, DATA, DIGESTS, DIRECTIONS, FIRST, MAC, MAX_PIECE, MAX_UNVERIFIED, MAX_WHOLE,
    RECEIPT, STREAM, TICKET, WHOLE, Bundle, Lane, Share, expanded, extract, fields, hashed, mac,
    padded,
)

NO_CONTENT = bytes(32)


def sign(bundle: Bundle, key: Ed25519PrivateKey, label: str, *said: bytes) -> bytes:
    """A proof of its own."""
    return b"\1" + key.sign(fields("armour/2 " + label, bundle.ctx, *said))


def frame(bundle: Bundle, direction: str, head: bytes) -> bytes:
    tag = mac(bundle.gate, "gate " + direction, head)[:MAC]
    return struct.pack(">H", len(head) + MAC) + head + tag


class Content:
    """What a message carries: whole, or a stream of several segments."""

    def __init__(self, bundle: Bundle, kind: int, content: bytes, padding: int = 0):
        self.bundle, self.kind, self.direction = bundle, kind, DIRECTIONS[kind]
        self.content, self.padding, self.blinding = content, padding, os.urandom(32)
        self.mode = WHOLE if len(content) <= MAX_WHOLE else STREAM
        self.first = content if self.mode == WHOLE else content[:MAX_PIECE]
        self.digest = 1 if len(content) < MAX_PIECE else 2
        self.commitment = mac(
            self.blinding, "content " + self.direction, bytes([self.mode]), bytes([self.digest]),
            bytes([padding]), struct.pack(">Q", len(self.first)), self.hashed(self.first).digest())

    def hashed(self, data: bytes):
        return DIGESTS[self.digest](data)

    def seal(self, body: bytes, key: bytes, ticket: bytes, n: int, signer: Ed25519PrivateKey,
             peer: tuple[int, bytes] = (0, bytes(32))) -> bytes:
        """Under the key of the head whose body this is."""
        aead, counter, out = self.bundle.aead(key), 0, b""

        def segment(kind: int, plain: bytes):
            nonlocal counter, out
            header = bytes([kind]) + struct.pack(">I", len(plain) + 16)[1:]
            nonce = struct.pack(">4xQ", counter)
            counter += 1
            out += header + aead.encrypt(nonce, plain, hashed("body", body) + header)

        kinds = bytes([self.digest, self.padding])
        segment(ALL if self.mode == WHOLE else FIRST,
                self.blinding + kinds + self.measured(self.first))
        if self.mode == WHOLE:
            return out
        running, sent, unsigned, sequence = self.hashed(self.blinding + self.first), MAX_PIECE, 0, 0
        while True:
            piece = self.content[sent : sent + MAX_PIECE]
            last = sent + len(piece) == len(self.content)
            segment(DATA, self.measured(piece))
            running.update(piece)
            sent, unsigned = sent + len(piece), unsigned + len(piece)
            if last or unsigned + MAX_PIECE > MAX_UNVERIFIED:
                sequence, unsigned = sequence + 1, 0
                said = (struct.pack(">Q", n), bytes(4), ticket, ticket, struct.pack(">Q", sequence),
                        struct.pack(">Q", sent), running.digest(), struct.pack(">Q", peer[0]),
                        peer[1], bytes([last]))
                proof = sign(self.bundle, signer, "checkpoint " + self.direction, *said)
                segment(CHECKPOINT, struct.pack(">Q", peer[0]) + peer[1] + bytes([last]) + proof)
            if last:
                return out

    def measured(self, piece: bytes) -> bytes:
        zeros = padded(len(piece), self.padding) - len(piece)
        return struct.pack(">I", len(piece)) + piece + bytes(zeros)


def issue(lane: Lane, kind: int, n: int, moment: int, mode: int, share: Share, agreed: bytes,
          signer: Ed25519PrivateKey, commitment: bytes = NO_CONTENT, reason: int = 0,
          opening: bytes = b"") -> tuple[bytes, bytes]:
    """The lane's next head, and its key. The lane has moved on."""
    bundle = lane.bundle
    header = bytes([2, bundle.suite, kind]) + bundle.bundle + lane.number + struct.pack(">Q4x", n)
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
    lane.link = hashed("body", body) if kind == TICKET else hashed("link", body, bytes(32))
    return head, expanded(x, "key")


def opening_of(kind: int, replaces: int, log_head: bytes = b"") -> bytes:
    """What heads of exchange 0 say besides."""
    lane = struct.pack(">I", replaces) if kind == TICKET else b""
    assert kind in (TICKET, RECEIPT)
    return lane + struct.pack(">H", len(log_head)) + log_head
