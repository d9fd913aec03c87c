"""A consumer's endpoint in Python, from docs/protocol.md alone: it draws a bundle, speaks with
a producer's agent, and reports to the ledger. None of it is shared with the agents.
"""

import copy
import json
import threading
import time

import requests

import bhttp
from control_plane import PATIENCE
from identity import Endpoint, Grant, Refused
from protocol import (
    EMPTY, LAST, NO_LANE, RECEIPT, REFUSED, TICKET, TRANSIENT, Body, Epoch, Head, Lane, Share,
)
from sealing import NO_CONTENT, NO_MARK, Content, frame, issue, opening_of, sub_ticket

PATH = "/armour/v2/exchange"


class NotBegun(RuntimeError):
    """The producer's final refusal: the call never begins. Its reason's number."""


class ConsumerLane:
    """One lane's consumer: *idle* between exchanges, *waiting* within one."""

    def __init__(self, grant: Grant, number: int, key):
        self.bundle, self.lane, self.key = grant.bundle, Lane(grant.bundle, number), key
        self.n, self.theirs, self.clock, self.waiting = 0, b"", None, None
        self.ticket = self.receipt = None

    def begin(self, content: bytes | None, budget: int = 2_000, mode: int = EMPTY,
              stream: bool = False) -> bytes:
        """The next request: frame and segments. Without content it re-keys, or closes. Of a
        stream that is its beginning, and `sealing` seals the rest."""
        assert self.waiting is None, "one exchange at a time"
        assert self.n or content is None, "nothing is sealed before the lane is open"
        share = Share(self.bundle.suite)
        if self.theirs:
            share.encapsulate_to(self.theirs)
        agreed = share.answer(self.theirs) if self.theirs else b""
        sealed = content is not None and Content(self.bundle, TICKET, content, stream=stream)
        head, key = issue(
            self.lane, TICKET, self.n, self.deadline(budget if sealed else 0),
            sealed.mode if sealed else mode, share, agreed, self.key,
            sealed.commitment if sealed else NO_CONTENT,
            opening=b"" if self.n else opening_of(TICKET, NO_LANE))
        ticket = Head(self.bundle, head, TICKET)
        self.waiting = ticket, share
        if stream:
            self.sealing = sealed.begin(ticket.body, key, ticket.hash, self.n, self.key)
            self.sealing.first()
            return frame(self.bundle, "request", head) + self.sealing.taken()
        body = sealed.seal(ticket.body, key, ticket.hash, self.n, self.key) if sealed else b""
        return frame(self.bundle, "request", head) + body

    def ask(self) -> bytes:
        """The frame of the next sub-ticket. The stream stands still until its answer is taken."""
        share = Share(self.bundle.suite)
        wire = sub_ticket(self.lane, share, [self.sealing.mark, NO_MARK], self.key)
        self.asking = share, wire
        return frame(self.bundle, "request", wire)

    def rekeyed(self, framed: bytes) -> Epoch:
        """The stream goes on in the epoch that a sub-ticket's answer leads to."""
        share, wire = self.asking
        epoch = self.lane.rekey(wire, self.bundle.passed(framed, "response"), share.agree_last)
        self.sealing.switch(len(self.lane.epochs), epoch)
        self.sealing.checkpoint()
        return epoch

    def deadline(self, budget: int) -> int:
        """What the producer's clock shows at least once the budget is over."""
        if self.clock is None:
            return 0
        read, arrived = self.clock
        elapsed = now() - arrived + budget
        return max(read + elapsed - -(-elapsed // 1_000), 0)

    def conclude(self, wire: bytes) -> bytes | None:
        """The content of the answer; nothing changes if that is not valid."""
        ticket, share = self.waiting
        wire = self.bundle.after_begun(wire, ticket)
        length = int.from_bytes(wire[:2]) + 2
        head = self.bundle.passed(wire[:length], "response")
        if head[2] == TRANSIENT:
            return None
        lane = copy.copy(self.lane)
        lane.roots = dict(self.lane.roots)
        theirs = Head(self.bundle, head, RECEIPT).share
        receipt, key = lane.message(head, RECEIPT, share.agree(theirs))
        assert receipt.n == ticket.n and receipt.previous == ticket.hash
        body = Body(receipt, key, ticket, wire[length:], lane.epochs)
        self.clock = receipt.moment, now()
        self.lane, self.theirs, self.n, self.waiting = lane, theirs, self.n + 1, None
        self.ticket, self.receipt = ticket, receipt
        if receipt.mode == REFUSED:
            raise NotBegun(receipt.reason)
        return body.content


class Consumer(Endpoint):
    """An enrolled consumer, and one bundle with one lane in use."""

    def __init__(self, base: str, enrolment: str, name: str = "python"):
        super().__init__(base, enrolment, name)
        self.stopped = threading.Event()

    def open(self, pair: str):
        """A new bundle, and its first lane."""
        self.grant = self.take(self.draw(pair))
        self.lane = ConsumerLane(self.grant, 0, self.key)
        self.send(None)

    def send(self, content: bytes | None, **options) -> bytes:
        """One exchange: begun, reported, sent until it is answered."""
        wire = self.lane.begin(content, **options)
        ticket, _ = self.lane.waiting
        self.reported(ticket)
        for _ in range(20):
            try:
                answer = self.deliver(wire)
            finally:
                if self.lane.waiting is None:
                    self.reported(ticket, self.lane.receipt)
            if answer is not None:
                return answer
            self.stopped.wait(0.2)
        raise RuntimeError("no answer")

    def deliver(self, wire: bytes) -> bytes | None:
        """Sends a request; none if it is to be sent again."""
        answer = requests.post(self.grant.address + PATH, wire, timeout=PATIENCE,
                               headers={"content-type": "application/octet-stream"})
        return self.lane.conclude(answer.content) if answer.status_code == 200 else None

    def reported(self, ticket: Head, receipt: Head | None = None):
        verdict = self.report(self.grant, int.from_bytes(self.lane.lane.number), ticket, receipt)
        if verdict["verdict"] != "accepted":
            raise RuntimeError(verdict)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str):
        """An HTTP request under the seal: status, header fields, content."""
        fields = {"host": "python.invalid", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return bhttp.read_response(self.send(bhttp.write_request(method, path, fields, body)))

    def close(self):
        """Closes the lane and retires the bundle."""
        self.send(None, mode=LAST)
        self.leave()

    def leave(self):
        number = int.from_bytes(self.lane.lane.number)
        self.retire(self.grant, [(number, self.lane.ticket.n, self.lane.ticket.hash)], leaving=True)


def copied(lane):
    """A thief's copy of a lane, of either end."""
    lane = copy.copy(lane)
    lane.lane = copy.copy(lane.lane)
    lane.lane.roots = dict(lane.lane.roots)
    return lane


def now() -> int:
    """Milliseconds of this machine's clock, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="One protected GET, from a consumer in Python.")
    parser.add_argument("control_plane")
    parser.add_argument("enrolment_token_file")
    parser.add_argument("pair")
    parser.add_argument("path")
    given = parser.parse_args()
    try:
        consumer = Consumer(given.control_plane, open(given.enrolment_token_file).read().strip())
        consumer.open(given.pair)
        status, headers, content = consumer.request("GET", given.path)
    except Refused as refused:
        raise SystemExit(f"refused: {refused}")
    print(status, json.dumps(headers, indent=1))
    print(content.decode(errors="replace"))
    consumer.close()
