"""WebSockets that agents end, and neither their callers nor their APIs: each is told by a frame that
closes, of `websockets` and of its frames in streams of `h2`.
"""

import contextlib

import h2.events
import pytest
import websockets.exceptions
import websockets.protocol
import websockets.sync.client

from agents import agents, served
from control_plane import PATIENCE, control_plane
from http2 import Http2, Http2Api
from websocket_apis import Sockets, echo

# RFC 6455, section 7.4.1, and its registry: going away, service restart.
GOING_AWAY, RESTART = 1001, 1012


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@contextlib.contextmanager
def before(plane, folder, api: str):
    """Two agents before an API, what that is told at a connection's end, and where it is called."""
    with agents(plane, folder) as made:
        if api == "http2":
            server = Http2Api(echo, websockets=True)
            ends, upstream = server.seen, [server.base, "--upstream-http2"]
        else:
            server = Sockets()
            ends, upstream = server.closed, [f"http://127.0.0.1:{server.port}"]
        producer, _ = made.producer("--drain-for", "0", "--upstream", *upstream)
        consumer, base = made.consumer()
        served(f"http://{base}/ready")
        yield made.tenant, ends, base, (consumer, producer)


class Http1Caller:
    def __init__(self, base: str):
        self.socket = websockets.sync.client.connect(f"ws://{base}/talk", subprotocols=["chat.v2"])

    def says(self, message: str) -> str:
        self.socket.send(message)
        return self.socket.recv(PATIENCE)

    def half_a_frame(self):
        self.socket.socket.sendall(b"\x81\xfe\x01\x00")

    def end(self) -> int | None:
        """The code by which it was closed, if it was."""
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            self.socket.recv(PATIENCE)
        return closed.value.rcvd and closed.value.rcvd.code


class Http2Caller:
    def __init__(self, base: str):
        self.caller = Http2(base)
        self.frames = websockets.protocol.Protocol(websockets.protocol.CLIENT)
        self.caller.ask(1, "CONNECT", "/talk", (":protocol", "websocket"), ended=False,
                        fields=[("sec-websocket-version", "13"),
                                ("sec-websocket-protocol", "chat.v2")])
        head = dict(self.caller.until(h2.events.ResponseReceived, 1).headers)
        assert head[b":status"] == b"200"

    def says(self, message: str) -> str:
        self.frames.send_text(message.encode())
        self.caller.send(1, b"".join(self.frames.data_to_send()))
        self.frames.receive_data(self.caller.until(h2.events.DataReceived, 1).data)
        return self.frames.events_received()[0].data.decode()

    def end(self) -> int | None:
        ends = (h2.events.DataReceived, h2.events.StreamEnded, h2.events.StreamReset)
        while isinstance(event := self.caller.until(ends, 1), h2.events.DataReceived):
            self.frames.receive_data(event.data)
        # Closed by a frame, the stream ends in order.
        closed = self.frames.close_rcvd
        assert isinstance(event, h2.events.StreamEnded) == bool(closed), event
        return closed and closed.code


CALLERS = {"http1": Http1Caller, "http2": Http2Caller}


@pytest.mark.parametrize("api", ["http1", "http2"])
@pytest.mark.parametrize("caller", ["http1", "http2"])
def test_a_bundles_end_closes_its_websockets_by_a_frame(plane, tmp_path, caller, api):
    with before(plane, tmp_path, api) as (tenant, ends, base, _):
        socket = CALLERS[caller](base)
        assert socket.says("one") == "one"
        tenant.post(f"/v1/pairs/{tenant.pairs[0]}/disconnect", {"reason": "the test"})
        assert socket.end() == RESTART
        assert ends.get(timeout=PATIENCE)[0] == GOING_AWAY


@pytest.mark.parametrize("leaves", ["consumer", "producer"])
def test_an_agent_that_leaves_closes_its_websockets_by_a_frame(plane, tmp_path, leaves):
    with before(plane, tmp_path, "http1") as (_, ends, base, (consumer, producer)):
        socket = Http1Caller(base)
        assert socket.says("one") == "one"
        {"consumer": consumer, "producer": producer}[leaves].process.terminate()
        assert socket.end() == RESTART
        assert ends.get(timeout=PATIENCE)[0] == GOING_AWAY


def test_within_a_frame_nothing_is_said(plane, tmp_path):
    """What would be taken for its content is not sent: the connection breaks off."""
    with before(plane, tmp_path, "http1") as (tenant, ends, base, _):
        socket = Http1Caller(base)
        assert socket.says("one") == "one"
        socket.half_a_frame()
        assert Http1Caller(base).says("another") == "another"
        tenant.post(f"/v1/pairs/{tenant.pairs[0]}/disconnect", {"reason": "the test"})
        assert socket.end() == RESTART
        codes = {ends.get(timeout=PATIENCE)[0] for _ in range(2)}
        assert codes == {GOING_AWAY, 1006}, codes
