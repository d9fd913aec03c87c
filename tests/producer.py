"""A producer's endpoint in Python, from docs/protocol.md alone: it takes the bundles that
consumers draw, answers their tickets with receipts, and reports both to the ledger. None of
it is shared with the agents.
"""

import contextlib
import http.server
import io
import struct
import threading
import time
import uuid

import bhttp
from control_plane import free_port
from hop import pieces, whole
from identity import DISOWN, Endpoint, Grant, Refused
from protocol import (
    EMPTY, LAST, NO_LANE, RECEIPT, REFUSED, SUB_TICKET, TICKET, Body, Head, Lane, Share, SubHead,
)
from sealing import NO_CONTENT, NO_MARK, Content, frame, issue, opening_of, sub_receipt

LATE = 1
REKEY = "/armour/v2/rekey"


class Stranger(Exception):
    """Not a word of the consumer's: no signature answers it."""


class ProducerLane:
    """One lane's producer. It answers each ticket once, and a repeat with the same bytes; and so
    the sub-tickets by which its consumer re-keys a request's stream."""

    def __init__(self, grant: Grant, number: int, key):
        self.bundle, self.lane, self.key = grant.bundle, Lane(grant.bundle, number), key
        self.share, self.ticket, self.receipt, self.answer = None, None, None, None
        # The ticket that is being answered, with its key.
        self.asked = None
        # The last sub-ticket with its answer, and hashes of all sub-receipts.
        self.sub, self.sub_receipts = None, {}

    def accept(self, head: bytes, clock) -> bytes | None:
        """The answer, if it was given before; else the ticket is the one to be answered."""
        offered = Head(self.bundle, head, TICKET)
        if self.ticket is not None and offered.hash == self.ticket.hash:
            return self.answer
        expected = 0 if self.ticket is None else self.ticket.n + 1
        if self.asked or offered.n != expected or offered.previous != self.lane.link:
            raise Stranger("not the ticket that this lane awaits")
        agreed = self.share.agree(offered.share) if self.share else b""
        self.asked = self.lane.message(head, TICKET, agreed)
        self.late = clock() > offered.moment
        return None

    def rekey(self, wire: bytes) -> bytes:
        """The frame of a sub-ticket's answer."""
        offered = SubHead(self.bundle, wire, SUB_TICKET)
        if self.sub and self.sub[0] == offered.hash:
            return self.sub[1]
        if not self.asked or (offered.n, offered.k) != (self.asked[0].n, len(self.lane.epochs) + 1):
            raise Stranger("not the sub-ticket that this lane awaits")
        # It has verified nothing before all has come, and signed nothing.
        receipt, _ = sub_receipt(self.lane, offered, [NO_MARK, NO_MARK], self.key)
        answer = frame(self.bundle, "response", receipt)
        self.sub = offered.hash, answer
        self.sub_receipts[offered.n, offered.k] = self.lane.sub_link
        return answer

    def conclude(self, body: bytes, clock, serve) -> bytes:
        """The answer to the ticket that was accepted."""
        (ticket, key), self.asked = self.asked, None
        content = Body(ticket, key, ticket, body, self.lane.epochs).content
        share = Share(self.bundle.suite)
        share.encapsulate_to(ticket.share)
        mode, reason, sealed, epochs = EMPTY, 0, None, self.lane.epochs
        if ticket.mode not in (EMPTY, LAST):
            if self.late:
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
        epoch = (len(epochs), epochs[-1]) if epochs else None
        body = b"" if sealed is None else sealed.seal(
            self.receipt.body, key, ticket.hash, ticket.n, self.key, epoch=epoch)
        self.answer = frame(self.bundle, "response", head) + body
        return self.answer


class Arriving:
    """A request's body, as it comes."""

    def __init__(self, request):
        self.pieces, self.held = pieces(request), b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self.held) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.held += piece
        size = len(self.held) if size < 0 else size
        taken, self.held = self.held[:size], self.held[size:]
        return taken


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
                if self.path == REKEY:
                    status, answer = producer.rekey(whole(self))
                else:
                    status, answer = producer.exchange(Arriving(self))
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
            at = head["n"], head.get("k") or 0
            n = -1 if own is None or own.receipt is None else own.receipt.n
            if at[1]:
                mine = own and own.sub_receipts.get(at)
            else:
                mine = own.receipt.hash if at[0] == n else head["n"] < n
            if mine is not True and (not mine or head["hash"] != mine.hex()):
                mark = struct.pack(">HQI", head["lane"], *at) + bytes.fromhex(head["hash"])
                self.link(DISOWN, b"\0\1\4" + bundle + mark)

    def refresh(self):
        """Takes what consumers have drawn meanwhile."""
        for bundle in self.pending():
            grant = self.take(bundle)
            self.bundles[grant.bundle.bundle] = grant

    def exchange(self, message) -> tuple[int, bytes]:
        """The status and body of what answers a request: bytes, or what reads them as they come."""
        if isinstance(message, bytes):
            message = io.BytesIO(message)
        prefix = message.read(2)
        framed = prefix + message.read(int.from_bytes(prefix))
        with self.lock:
            status, grant, lane, head = self.addressed(framed)
            if status:
                return status, b""
            try:
                answer = lane.accept(head, self.clock)
            except Stranger:
                return 409, b""
            self.lanes[lane.bundle.bundle, int.from_bytes(lane.lane.number)] = lane
        if answer is not None:
            return 200, answer
        body = message.read()
        with self.lock:
            answer = lane.conclude(body, self.clock, self.api)
            number = int.from_bytes(lane.lane.number)
            verdict = self.report(grant, number, lane.ticket, lane.receipt)
            self.reports.append(verdict["verdict"])
            return 200, answer

    def rekey(self, framed: bytes) -> tuple[int, bytes]:
        """The status and body of what answers a sub-ticket."""
        with self.lock:
            status, _, lane, head = self.addressed(framed)
            if status:
                return status, b""
            try:
                return 200, lane.rekey(head)
            except Stranger:
                return 409, b""

    def addressed(self, framed: bytes):
        """The status of a frame that is not taken; else its bundle, its lane and its head."""
        named = framed[5:21]
        if named not in self.bundles:
            self.refresh()
        grant = self.bundles.get(named)
        if grant is None:
            return 404, None, None, b""
        try:
            head = grant.bundle.passed(framed, "request")
        except AssertionError:
            return 403, None, None, b""
        number = int.from_bytes(head[19:21])
        lane = self.lanes.get((named, number)) or ProducerLane(grant, number, self.key)
        return 0, grant, lane, head

    def api(self, content: bytes) -> bytes:
        return bhttp.write_response(*self.serve(*bhttp.read_request(content)))

    def leave(self):
        """Retires what it holds."""
        with self.lock:
            for grant in self.bundles.values():
                marks = [(number, lane.receipt.n, lane.receipt.hash)
                         for (named, number), lane in sorted(self.lanes.items())
                         if named == grant.bundle.bundle and lane.receipt]
                self.retire(grant, marks)
