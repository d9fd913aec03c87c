"""An endpoint towards the control plane in Python, from docs/protocol.md and the REST API's
document: it enrols, starts, signs links, and fetches bundles. It keeps its state in memory
and does not pin the audit log.
"""

import base64
import json
import struct
import uuid
from dataclasses import dataclass

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from control_plane import PATIENCE
from dpop import Endpoint as Caller
from protocol import Bundle, Cursor, fields, h, hpke_open, raw

HEARTBEAT, REQUEST, ACKNOWLEDGE, DISOWN, RETIRE, RENEW = 1, 2, 3, 4, 5, 6


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Refused(RuntimeError):
    """A problem document."""

    def __init__(self, problem: dict):
        super().__init__(problem)
        self.kind = problem["type"].rsplit(":", 1)[1]


@dataclass
class Grant:
    """A bundle whose peer has been checked."""

    id: str
    pair: str
    bundle: Bundle
    policy: dict
    address: str | None


class Endpoint:
    """One endpoint and its first start."""

    def __init__(self, base: str, enrolment: str, name: str = "python", address: str | None = None):
        self.base = base
        self.long_term, kem = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        made = requests.post(f"{base}/v1/enrol", timeout=PATIENCE, headers={
            "authorization": f"Bearer {enrolment}",
        }, json={"name": name, "signing_key": b64(raw(self.long_term.public_key())),
                 "kem_key": b64(raw(kem.public_key())), "address": address, "version": "python"})
        self.endpoint = answered(made)
        self.id = uuid.UUID(self.endpoint["id"]).bytes
        self.counter, self.answered = 0, bytes(32)
        self.start()

    def start(self):
        """A start, as a process makes one."""
        self.counter += 1
        self.key, self.hpke = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        counter, public, hpke = (struct.pack(">Q", self.counter), raw(self.key.public_key()),
                                 raw(self.hpke.public_key()))
        said = fields("armour/2 start", self.id, counter, self.answered, b"", public, hpke)
        start = (b"\2" + self.id + counter + self.answered + bytes(2) + public + hpke
                 + self.long_term.sign(said))
        self.call("/v1/endpoint/starts", {"start": b64(start)})
        self.started = self.answered = self.last = h(said)
        self.k, self.draws = 0, {}
        secret = self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        self.auth = Caller(self.base, self.endpoint["tenant_id"], self.endpoint["id"], secret)

    def call(self, path: str, body: dict):
        """A call that is signed itself."""
        body = {"tenant_id": self.endpoint["tenant_id"], **body}
        return answered(requests.post(self.base + path, json=body, timeout=PATIENCE))

    def post(self, path: str, body: dict):
        return answered(requests.post(
            self.base + path, json=body, auth=self.auth, timeout=PATIENCE))

    def get(self, path: str):
        return answered(requests.get(self.base + path, auth=self.auth, timeout=PATIENCE))

    def link(self, kind: int, body: bytes) -> dict:
        """The next link of the chain, and what came of it."""
        k = struct.pack(">Q", self.k + 1)
        said = fields("armour/2 control link", self.id, self.started, k, self.last,
                      bytes([kind]), h(body))
        link = (b"\2" + self.id + self.started + k + self.last + bytes([kind])
                + struct.pack(">I", len(body)) + body + self.key.sign(said))
        answer = self.call("/v1/endpoint/links", {"link": b64(link)})
        assert answer["head"] == {"k": self.k + 1, "hash": b64(h(said))}, answer
        self.k, self.last = self.k + 1, h(said)
        return answer["outcome"]

    def heartbeat(self, *bundles: str) -> dict:
        return self.link(HEARTBEAT, json.dumps({"bundles": bundles}).encode())

    def draw(self, pair: str, replaces: str | None = None) -> str:
        """A new bundle of a pair: one more, or in place of another one."""
        number = self.draws[pair] = self.draws.get(pair, self.drawn(pair)) + 1
        body = struct.pack(">H", 1) + uuid.UUID(pair).bytes + struct.pack(">Q", number)
        body += uuid.UUID(replaces).bytes if replaces else bytes(16)
        (item,) = self.link(REQUEST, body)["items"]
        if item.get("problem"):
            raise Refused(item["problem"])
        return item["bundle_id"]

    def drawn(self, pair: str) -> int:
        draws = self.get("/v1/endpoint")["draws"]
        return sum(one["draws"] for one in draws if one["pair_id"] == pair)

    def pending(self) -> list[str]:
        """Bundles that are not acknowledged yet."""
        return self.get("/v1/endpoint/bundles")["bundles"]

    def take(self, bundle: str) -> Grant:
        """A bundle: its peer checked, its secret opened, acknowledged."""
        grant = self.get(f"/v1/endpoint/bundles/{bundle}")
        ends = [grant["consumer"], grant["producer"]]
        own, = (end for end in ends if end["endpoint_id"] == self.endpoint["id"])
        peer, = (end for end in ends if end["endpoint_id"] != self.endpoint["id"])
        assert base64.b64decode(own["incarnation_key"]) == raw(self.key.public_key())
        assert base64.b64decode(peer["incarnation_key"]) == current_key(peer)
        policy = json.dumps(grant["policy"], sort_keys=True, separators=(",", ":"))
        suite = grant["bundle"]["suite"]
        ids = (grant["tenant_id"], grant["bundle"]["pair_id"], bundle)
        context = fields(
            "armour/2 context", b"\2", bytes([suite]), *(uuid.UUID(one).bytes for one in ids),
            struct.pack(">Q", grant["draw"]), h(policy.encode()), *(
                part for end in ends for part in (
                    uuid.UUID(end["party_id"]).bytes, uuid.UUID(end["endpoint_id"]).bytes,
                    base64.b64decode(end["incarnation_key"]))))
        sealed = base64.b64decode(grant["sealed_secret"])
        minted = hpke_open(self.hpke, sealed, b"armour/2 envelope", context)
        keys = (Ed25519PublicKey.from_public_bytes(base64.b64decode(end["incarnation_key"]))
                for end in ends)
        made = Bundle(suite, context, minted, uuid.UUID(bundle).bytes, *keys)
        body = struct.pack(">H", 1) + made.bundle + made.ctx
        (item,) = self.link(ACKNOWLEDGE, body)["items"]
        assert not item.get("problem"), item
        return Grant(bundle, ids[1], made, grant["policy"], grant["producer_address"])

    def report(self, grant: Grant, lane: int, ticket, receipt=None) -> dict:
        """One exchange, or the half of it that is known."""
        halves = [ticket] if receipt is None else [ticket, receipt]
        report = {
            "bundle_id": grant.id, "lane": lane, "first": ticket.n,
            "previous": b64(ticket.previous), "rests": b64(b"".join(one.rest for one in halves)),
            "ticket": b64(ticket.proof),
        }
        if receipt is not None:
            report["receipt"] = b64(receipt.proof)
        (verdict,) = self.post("/v1/endpoint/reports", {"reports": [report]})["verdicts"]
        return verdict

    def retire(self, grant: Grant, marks: list[tuple[int, int, bytes]], leaving: bool = False):
        """Ends a bundle; each mark is a lane's number, its last exchange, and a hash."""
        lanes = b"".join(struct.pack(">HQ4x", lane, n) + hashed for lane, n, hashed in marks)
        body = (bytes([leaving]) + struct.pack(">H", 1) + grant.bundle.bundle
                + struct.pack(">I", len(marks)) + lanes)
        return self.link(RETIRE, body)


def current_key(peer: dict) -> bytes:
    """The key that a peer's start and renewals end at."""
    cursor = Cursor(base64.b64decode(peer["start"]))
    endpoint = uuid.UUID(peer["endpoint_id"]).bytes
    assert cursor.take(1) == b"\2" and cursor.take(16) == endpoint
    counter, answered_, count = cursor.take(8), cursor.take(32), cursor.number(2)
    since, key, hpke = cursor.take(32 * count), cursor.take(32), cursor.take(32)
    said = fields("armour/2 start", endpoint, counter, answered_, since, key, hpke)
    long_term = Ed25519PublicKey.from_public_bytes(base64.b64decode(peer["signing_key"]))
    long_term.verify(cursor.take(64), said)
    cursor.end()
    for renewal in peer["renewals"]:
        cursor = Cursor(base64.b64decode(renewal))
        assert cursor.take(1) == b"\2" and cursor.take(16) == endpoint
        assert cursor.take(32) == h(said), "of this start"
        k, previous, kind = cursor.take(8), cursor.take(32), cursor.take(1)
        body = cursor.take(cursor.number(4))
        assert kind[0] == RENEW and len(body) == 64
        link = fields("armour/2 control link", endpoint, h(said), k, previous, kind, h(body))
        Ed25519PublicKey.from_public_bytes(key).verify(cursor.take(64), link)
        cursor.end()
        key = body[:32]
    return key


def answered(answer: requests.Response):
    if answer.status_code >= 400:
        raise Refused(answer.json())
    return answer.json() if answer.content else None
