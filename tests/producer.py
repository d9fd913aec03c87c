"""A producer's endpoint in Python, from docs/protocol.md alone: it takes the bundles that
consumers draw, answers their tickets with receipts, and reports both to the ledger. None of
it is shared with the agents.
"""

import http.server
import contextlib
import struct
import threading
import time
import uuid

import bhttp
from control_plane import free_port
from hop import whole
from identity import DISOWN, Endpoint, Grant, Refused
from protocol import (
    EMPTY, LAST, NO_LANE, RECEIPT, REFUSED, TICKET, Body, Head, Lane, Share,
)
from sealing import NO_CONTENT, Content, frame, issue, opening_of

LATE = 1


class Stranger(Exception):
    """Not a word of the consumer's: no signature answers it."""


class ProducerLane:
    """One lane's producer. It answers each ticket once, and a repeat with the same bytes."""

    def __init__(self, grant: Grant, number: int, key):
        self.bundle, self.lane, self.key = grant.bundle, Lane(grant.bundle, number), key
        self.share, self.ticket, self.receipt, self.answer = None, None, None, None

    def take(self, head: bytes, body: bytes, clock, serve) -> tuple[bytes, bool]:
        """The answer, and whether it was not given before."""
        offered = Head(self.bundle, head, TICKET)
        if self.ticket is not None and offered.hash == self.ticket.hash:
            return self.answer, False
        expected = 0 if self.ticket is None else self.ticket.n + 1
        if offered.n != expected or offered.previous != self.lane.link:
            raise Stranger("not the ticket that this lane awaits")
        agreed = self.share.agree(offered.share) if self.share else b""
        ticket, key = self.lane.message(head, TICKET, agreed)
        content = Body(ticket, key, ticket, body).content
        share = Share(self.bundle.suite)
        share.encapsulate_to(ticket.share)
        mode, reason, sealed = EMPTY, 0, None
        if ticket.mode not in (EMPTY, LAST):
            if clock() > ticket.moment:
                mode, reason = REFUSED, LATE
            else:
                sealed = Content(self.bundle, RECEIPT, serve(content))
                mode = sealed.mode
        head, key = issue(
            self.lane, RECEIPT, ticket.n, clock(), mode, share, share.answer(ticket.share),
            self.key, sealed.commitment if sealed else NO_CONTENT, reason,
            b"" if ticket.n else opening_of(RECEIPT, NO_LANE))
        self.share, self.ticket = share, ticket
        self.receipt = Head(self.bundle, head, RECEIPT)
        body = b"" if sealed is None else sealed.seal(
            self.receipt.body, key, ticket.hash, ticket.n, self.key)
        self.answer = frame(self.bundle, "response", head) + body
        return self.answer, True


class Producer(Endpoint):
    """An enrolled producer that serves; `serve(method, path, headers, body)` is the API. It is
    said to be reached at `address`, where that is not its own."""

    def __init__(self, base: str, enrolment: str, serve, name: str = "python", address: str = ""):
        self.port = free_port()
        super().__init__(base, enrolment, name, address or f"http://127.0.0.1:{self.port}")
        self.serve, self.bundles, self.lanes = serve, {}, {}
        self.lock, self.chain, self.stopped = threading.Lock(), threading.Lock(), threading.Event()
        self.zero = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.reports: list[str] = []

    def link(self, *what):
        with self.chain:
            return super().link(*what)

    def clock(self) -> int:
        """Milliseconds since this producer's start, suspended time included."""
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self.zero) // 1_000_000

    def __enter__(self):
        producer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                status, answer = producer.exchange(whole(self))
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.beat, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.server.shutdown()

    def beat(self):
        with contextlib.suppress(Refused):
            self.beats()

    def beats(self):
        """Until the control plane refuses: then this endpoint has ended."""
        while not self.stopped.wait(0.5):
            told = self.heartbeat(*(grant.id for grant in self.bundles.values()))
            with self.lock:
                for bundle in told["bundles"]:
                    self.check(bundle)
                self.refresh()

    def check(self, told: dict):
        """Disowns receipts that the ledger has and this producer did not sign."""
        bundle = uuid.UUID(told["id"]).bytes
        for head in told["lanes"]:
            own = self.lanes.get((bundle, head["lane"]))
            n = -1 if own is None else own.receipt.n
            if head["n"] > n or (head["n"] == n and head["hash"] != own.receipt.hash.hex()):
                mark = struct.pack(">HQ4x", head["lane"], head["n"]) + bytes.fromhex(head["hash"])
                self.link(DISOWN, b"\0\1\4" + bundle + mark)

    def refresh(self):
        """Takes what consumers have drawn meanwhile."""
        for bundle in self.pending():
            grant = self.take(bundle)
            self.bundles[grant.bundle.bundle] = grant

    def exchange(self, wire: bytes) -> tuple[int, bytes]:
        """The status and body of what answers a request."""
        length = int.from_bytes(wire[:2]) + 2
        framed, body = wire[:length], wire[length:]
        with self.lock:
            named = framed[5:21]
            if named not in self.bundles:
                self.refresh()
            grant = self.bundles.get(named)
            if grant is None:
                return 404, b""
            try:
                head = grant.bundle.passed(framed, "request")
            except AssertionError:
                return 403, b""
            number = int.from_bytes(head[19:21])
            lane = self.lanes.get((named, number))
            if lane is None:
                lane = ProducerLane(grant, number, self.key)
            try:
                answer, new = lane.take(head, body, self.clock, self.api)
            except Stranger:
                return 409, b""
            self.lanes[named, number] = lane
            if new:
                verdict = self.report(grant, number, lane.ticket, lane.receipt)
                self.reports.append(verdict["verdict"])
            return 200, answer

    def api(self, content: bytes) -> bytes:
        return bhttp.write_response(*self.serve(*bhttp.read_request(content)))

    def leave(self):
        """Retires what it holds."""
        with self.lock:
            for grant in self.bundles.values():
                marks = [(number, lane.receipt.n, lane.receipt.hash)
                         for (named, number), lane in sorted(self.lanes.items())
                         if named == grant.bundle.bundle]
                self.retire(grant, marks)
