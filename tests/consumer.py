"""A consumer's endpoint in Python, from docs/protocol.md and the REST API's document: it
enrols, draws a bundle, speaks with a producer's agent, and reports to the ledger. None of
it is shared with the agents. It keeps its state in memory and does not pin the audit log.
"""

import base64
import json
import struct
import threading
import uuid

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding, NoEncryption, PrivateFormat,
)

from dpop import Endpoint
from protocol import (
    COMMITMENT, RESPONSE_FIXED, Share, first_roots, h, hpke_open, open_body, ratchet, raw,
    seal_body,
)


class Lane:
    """One lane's consumer: *idle* between exchanges, *waiting* within one."""

    def __init__(self, suite: int, context: bytes, bundle: bytes, number: int, minted: bytes,
                 key: Ed25519PrivateKey, producer: Ed25519PublicKey):
        self.suite, self.bundle, self.number = suite, bundle, number
        self.key, self.producer = key, producer
        lane = struct.pack(">I", number)
        self.own, self.theirs, self.transcript = first_roots(context, minted, lane)
        self.n, self.previous, self.share = 0, bytes(32), None
        self.peer_share, self.waiting, self.entries = b"", None, []

    def begin(self, content: bytes, share: Share | None = None) -> bytes:
        """The next request, head and body."""
        assert self.waiting is None, "one exchange at a time"
        share = share or Share(self.suite)
        if self.peer_share:
            share.encapsulate_to(self.peer_share)
        public = share.public()
        ticket = (bytes([1, self.suite]) + self.bundle
                  + struct.pack(">IQ", self.number, self.n) + self.previous + h(public))
        signature = self.key.sign(b"armour/1 ticket" + ticket)
        secret = share.answer(self.peer_share) if self.peer_share else b""
        head = ticket + signature + public + bytes(COMMITMENT)
        self.own, self.transcript, key, commitment = ratchet(
            self.own, self.transcript, head, secret)
        body = seal_body(key, ticket, self.key.sign, self.transcript, content)
        self.waiting = ticket, share
        self.entries.append(h(public) + signature)
        return head[:-COMMITMENT] + commitment + body

    def conclude(self, wire: bytes) -> bytes:
        """The content of the response; nothing changes if that is not valid."""
        ticket, share = self.waiting
        length = RESPONSE_FIXED + len(Share(self.suite).public()) + COMMITMENT
        if self.suite == 2:
            length += 1088
        head, body = wire[:length], wire[length:]
        fixed = ticket[:30] + h(ticket)
        assert head[:RESPONSE_FIXED] == fixed, "a response to another ticket"
        peer_share = head[RESPONSE_FIXED:-COMMITMENT]
        theirs, transcript, key, commitment = ratchet(
            self.theirs, self.transcript, head, share.agree(peer_share))
        assert commitment == head[-COMMITMENT:], "the key is committed to"
        content = open_body(key, fixed, self.producer, transcript, body)
        self.theirs, self.transcript, self.peer_share = theirs, transcript, peer_share
        self.n, self.previous, self.waiting = self.n + 1, h(ticket), None
        return content


class Consumer:
    """An enrolled consumer, and one bundle with one lane in use."""

    def __init__(self, base: str, enrolment: str, name: str = "python"):
        self.base, self.draws = base, 0
        self.key, self.kem = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        text = lambda key: base64.b64encode(raw(key.public_key())).decode()
        made = requests.post(f"{base}/v1/enrol", timeout=180, headers={
            "authorization": f"Bearer {enrolment}",
        }, json={"name": name, "signing_key": text(self.key), "kem_key": text(self.kem),
                 "address": None, "version": "python"})
        made.raise_for_status()
        self.endpoint = made.json()
        secret = self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        self.auth = Endpoint(base, self.endpoint["tenant_id"], self.endpoint["id"], secret)
        self.stopped = threading.Event()
        self.bundle = None

    def post(self, path: str, body=None):
        answer = requests.post(self.base + path, json=body or {}, auth=self.auth, timeout=180)
        if answer.status_code >= 400:
            raise RuntimeError(answer.json())
        return answer.json() if answer.content else None

    def draw(self, pair: str):
        """A new bundle, its secret opened and acknowledged."""
        self.draws += 1
        grant = self.post("/v1/endpoint/bundles", {"pair_id": pair, "number": self.draws})
        bundle = grant["bundle"]
        keys = [base64.b64decode(grant[f"{end}_signing_key"]) for end in ["consumer", "producer"]]
        ids = [grant["tenant_id"], pair, bundle["id"], bundle["consumer_endpoint_id"],
               bundle["producer_endpoint_id"]]
        context = (bytes([bundle["suite"]]) + b"".join(uuid.UUID(one).bytes for one in ids)
                   + b"".join(keys))
        sealed = base64.b64decode(grant["sealed_secret"])
        minted = hpke_open(self.kem, sealed, b"armour/1 envelope", context)
        self.post(f"/v1/endpoint/bundles/{bundle['id']}/acknowledge")
        self.bundle, self.producer = bundle["id"], grant["producer_address"]
        self.lane = Lane(bundle["suite"], context, uuid.UUID(self.bundle).bytes, 0, minted,
                         self.key, Ed25519PublicKey.from_public_bytes(keys[1]))
        self.send(b"")  # The opening exchange is empty.

    def send(self, content: bytes) -> bytes:
        """One exchange: begun, reported, sent until it is answered."""
        previous = self.lane.previous
        wire = self.lane.begin(content)
        self.report(previous)
        for _ in range(5):
            answer = requests.post(f"{self.producer}/armour/v1/exchange", wire, timeout=180,
                                   headers={"content-type": "application/octet-stream"})
            if answer.status_code == 200:
                return self.lane.conclude(answer.content)
            kind = answer.json()["type"].rsplit(":", 1)[1]
            if answer.status_code not in (503,):
                raise RuntimeError(kind)
            self.stopped.wait(0.2)
        raise RuntimeError("no answer")

    def report(self, previous: bytes):
        verdicts = self.post("/v1/endpoint/reports", {"reports": [{
            "bundle_id": self.bundle, "lane": self.lane.number, "first": self.lane.n,
            "previous": base64.b64encode(previous).decode(),
            "entries": base64.b64encode(self.lane.entries[-1]).decode(), "age_ms": 0,
        }]})["verdicts"]
        if verdicts[0]["verdict"] != "accepted":
            raise RuntimeError(verdicts)

    def heartbeat(self):
        return self.post("/v1/endpoint/heartbeat", {"bundles": [self.bundle]})

    def request(self, method: str, path: str, body: bytes = b"", **headers: str):
        """An HTTP request under the seal: status, header fields, content."""
        fields = {"host": "python.invalid", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return read_response(self.send(write_request(method, path, fields, body)))


def varint(value: int) -> bytes:
    """RFC 9000, section 16."""
    for bits, prefix, form in [(6, 0, ">B"), (14, 1, ">H"), (30, 2, ">I"), (62, 3, ">Q")]:
        if value < 1 << bits:
            return struct.pack(form, value | prefix << bits)
    raise ValueError(value)


def prefixed(data: bytes) -> bytes:
    return varint(len(data)) + data


def write_request(method: str, path: str, headers: dict, body: bytes) -> bytes:
    """RFC 9292, section 3.2: indeterminate length."""
    control = [method.encode(), b"https", headers.pop("host").encode(), path.encode()]
    fields = b"".join(
        prefixed(name.encode()) + prefixed(value.encode()) for name, value in headers.items())
    content = prefixed(body) if body else b""
    return (varint(2) + b"".join(map(prefixed, control)) + fields + varint(0) + content
            + varint(0) + varint(0))


def read_response(message: bytes):
    at = 0

    def number() -> int:
        nonlocal at
        length = 1 << (message[at] >> 6)
        value = int.from_bytes(message[at : at + length], "big") & ((1 << 8 * length - 2) - 1)
        at += length
        return value

    def take() -> bytes:
        nonlocal at
        length = number()
        at += length
        return message[at - length : at]

    assert number() == 3, "a response of indeterminate length"
    status, headers, content = number(), {}, b""
    while name := take():
        headers[name.decode()] = take().decode()
    while piece := take():
        content += piece
    return status, headers, content


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="One protected GET, from a consumer in Python.")
    parser.add_argument("control_plane")
    parser.add_argument("enrolment_token_file")
    parser.add_argument("pair")
    parser.add_argument("path")
    given = parser.parse_args()
    consumer = Consumer(given.control_plane, open(given.enrolment_token_file).read().strip())
    consumer.draw(given.pair)
    status, headers, content = consumer.request("GET", given.path)
    print(status, json.dumps(headers, indent=1))
    print(content.decode(errors="replace"))
