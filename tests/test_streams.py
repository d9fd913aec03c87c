"""Both directions of a call at once, through two agents, with clients and servers that none of us
wrote: gRPC's four kinds, early answers, callers that hang up, WebSocket. docs/agent.md tells what
each of them shows.
"""

import contextlib
import queue
import socket
import subprocess
import threading
from concurrent import futures

import grpc
import h2.errors
import h2.events
import h2.settings
import pytest
import requests
import websockets.protocol
import websockets.sync.client

from agents import agents, served, wait_for_port
from control_plane import PATIENCE, control_plane, until
from http2 import Http2
from websocket_apis import Sockets

# One of each, so that whatever is not given back is missed at once.
ONE_LANE = {"max_lanes": 1}


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


class Api:
    """A server of one connection at a time a thread, byte by byte as the test says."""

    def __init__(self, serve):
        self.serve, self.listener = serve, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = queue.Queue()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.one, args=[connection], daemon=True).start()

    def one(self, connection):
        with connection, contextlib.suppress(OSError):
            while head := read_head(connection):
                if head.startswith(b"GET /ready"):
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                elif not self.serve(self, connection, head):
                    return


def read_head(connection) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return b""
        head += byte
    return head


@contextlib.contextmanager
def through_agents(plane, folder, serve, policy=None, *producer):
    """Two agents before an API of the test's own; it, and where it is called."""
    api = Api(serve)
    with agents(plane, folder, policy) as made:
        made.producer("--upstream", f"http://127.0.0.1:{api.port}", *producer)
        _, base = made.consumer()
        served(f"http://{base}/ready")
        try:
            yield api, base
        finally:
            api.listener.close()


def wait_for_end(connection) -> str:
    """How the peer ended the connection, all that it sent read."""
    connection.settimeout(PATIENCE)
    try:
        while connection.recv(65536):
            pass
        return "closed"
    except ConnectionResetError:
        return "reset"


def same(message):
    return message


class Kinds(grpc.GenericRpcHandler):
    """gRPC of four kinds, of bytes."""

    def __init__(self):
        self.ended = queue.Queue()

    def service(self, details):
        method = details.method.rsplit("/", 1)[1]
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda one, _: b"re: " + one),
            "Answers": grpc.unary_stream_rpc_method_handler(self.answers),
            "Requests": grpc.stream_unary_rpc_method_handler(
                lambda many, _: b",".join(many)),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "Forever": grpc.stream_stream_rpc_method_handler(self.forever),
            "Refuses": grpc.stream_stream_rpc_method_handler(self.refuses),
        }[method]

    def answers(self, one, _context):
        for number in range(3):
            yield one + str(number).encode()

    def both(self, many, _context):
        for one in many:
            yield b"re: " + one

    def forever(self, _many, context):
        context.add_callback(lambda: self.ended.put(context.code()))
        context.send_initial_metadata((("x-early", "yes"),))
        yield b"first"
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(PATIENCE)

    def refuses(self, many, context):
        next(many)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


@pytest.fixture(scope="module")
def kinds(plane, tmp_path_factory):
    """Agents before a gRPC server, with one lane; its handlers, and a channel."""
    server, handlers = grpc.server(futures.ThreadPoolExecutor(8)), Kinds()
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with agents(plane, tmp_path_factory.mktemp("grpc"), ONE_LANE) as made:
        made.producer("--upstream", f"http://127.0.0.1:{port}", "--upstream-http2")
        _, base = made.consumer()
        wait_for_port(int(base.split(":")[1]))
        with grpc.insecure_channel(base) as channel:

            def answered():
                with contextlib.suppress(grpc.RpcError):
                    return channel.unary_unary("/t.T/Unary")(b"", timeout=PATIENCE)

            until("gRPC", answered)
            yield handlers, channel
    server.stop(0)


def test_grpc_of_four_kinds(kinds):
    _, channel = kinds
    for _ in range(3):
        assert channel.unary_unary("/t.T/Unary")(b"one", timeout=PATIENCE) == b"re: one"
        answers = channel.unary_stream("/t.T/Answers")(b"n", timeout=PATIENCE)
        assert list(answers) == [b"n0", b"n1", b"n2"]
        requests = channel.stream_unary("/t.T/Requests")
        assert requests(iter([b"a", b"b", b"c"]), timeout=PATIENCE) == b"a,b,c"
        large = bytes(100_000)
        both = channel.stream_stream("/t.T/Both")(iter([large] * 30), timeout=PATIENCE)
        assert list(both) == [b"re: " + large] * 30


def test_grpc_ping_pong(kinds):
    """Each message is sent only once the answer to the one before is there."""
    _, channel = kinds
    answered = queue.Queue()

    def messages():
        yield b"0"
        for number in range(1, 20):
            assert answered.get(timeout=PATIENCE) == b"re: %d" % (number - 1)
            yield b"%d" % number

    both = channel.stream_stream("/t.T/Both")(messages(), timeout=PATIENCE)
    for answer in both:
        answered.put(answer)
    assert both.code() == grpc.StatusCode.OK


def test_a_grpc_server_that_refuses_early_is_heard_while_its_caller_sends(kinds):
    _, channel = kinds
    gone_on = threading.Event()

    def messages():
        yield b"one"
        gone_on.wait(PATIENCE)

    refused = channel.stream_stream("/t.T/Refuses")(messages(), timeout=PATIENCE)
    with pytest.raises(grpc.RpcError) as error:
        next(refused)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.value.details() == "enough"
    gone_on.set()
    assert channel.unary_unary("/t.T/Unary")(b"next", timeout=PATIENCE) == b"re: next"


def test_a_grpc_call_that_is_cancelled_ends_at_the_server_and_frees_its_lane(kinds):
    handlers, channel = kinds
    gone_on = threading.Event()
    call = channel.stream_stream("/t.T/Forever")(
        (gone_on.wait(PATIENCE) and b"" for _ in range(1)), timeout=PATIENCE)
    assert ("x-early", "yes") in [(name, value) for name, value in call.initial_metadata()]
    assert next(call) == b"first"
    call.cancel()
    gone_on.set()
    assert handlers.ended.get(timeout=PATIENCE) in [None, grpc.StatusCode.CANCELLED]
    assert channel.unary_unary("/t.T/Unary")(b"next", timeout=PATIENCE) == b"re: next"


def test_a_grpc_deadline_ends_the_call_at_the_server(kinds):
    handlers, channel = kinds
    call = channel.stream_stream("/t.T/Forever")(iter([]), timeout=1)
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    handlers.ended.get(timeout=PATIENCE)
    assert channel.unary_unary("/t.T/Unary")(b"next", timeout=PATIENCE) == b"re: next"


def chunked_echo(api, connection, _head):
    """Answers each chunk with it, as it comes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    lines = connection.makefile("rb")
    while size := int(lines.readline(), 16):
        data = lines.read(size)
        lines.readline()
        connection.sendall(b"%x\r\n%s\r\n" % (size, data))
    lines.readline()
    connection.sendall(b"0\r\n\r\n")
    return True


def test_an_http_1_caller_and_api_talk_in_turns(plane, tmp_path):
    with through_agents(plane, tmp_path, chunked_echo, ONE_LANE) as (_, base):
        for _ in range(2):
            host, port = base.split(":")
            with socket.create_connection((host, int(port)), PATIENCE) as caller:
                caller.sendall(b"POST /talk HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
                # The answer has begun before a byte of the request's body is there.
                assert b" 200 " in read_head(caller)
                lines = caller.makefile("rb")
                for word in [b"one", b"two", b"three"]:
                    caller.sendall(b"%x\r\n%s\r\n" % (len(word), word))
                    assert int(lines.readline(), 16) == len(word)
                    assert lines.readline().strip() == word
                caller.sendall(b"0\r\n\r\n")
                assert lines.readline() == b"0\r\n"


def too_large(api, connection, head):
    """Says so at once, and closes."""
    if b"POST /large" in head:
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\n"
                           b"connection: close\r\n\r\ntoo large")
        connection.shutdown(socket.SHUT_WR)
        # As servers do, so that the answer is not lost to a reset.
        until_quiet(connection)
        return False
    if b"transfer-encoding: chunked" in head.lower():
        lines = connection.makefile("rb")
        while size := int(lines.readline(), 16):
            lines.read(size + 2)
        lines.readline()
    else:
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while length:
            length -= len(connection.recv(min(length, 65536)))
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    return True


def until_quiet(connection):
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while connection.recv(65536):
            pass


def test_an_early_413_reaches_the_caller_and_the_next_call_is_unharmed(plane, tmp_path):
    large, fits = tmp_path / "large", tmp_path / "fits"
    large.write_bytes(bytes(30_000_000))
    fits.write_bytes(bytes(400_000))
    with through_agents(plane, tmp_path / "a", too_large, ONE_LANE) as (_, base):
        for _ in range(5):
            for version in ["--http1.1", "--http2-prior-knowledge"]:
                done = curl(version, "-w", "\n%{http_code}", "-H", "expect:", "--data-binary",
                            f"@{large}", f"http://{base}/large")
                assert done.stdout.endswith("too large\n413"), done
            fitting = curl("-w", "%{http_code}", "-H", "expect:", "--data-binary",
                           f"@{fits}", f"http://{base}/fits")
            assert fitting.stdout == "200", fitting


def curl(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", "30", *map(str, arguments)],
                          capture_output=True, text=True)


def silent(api, connection, head):
    """Never answers; says how its caller ended."""
    api.seen.put("begun")
    api.seen.put(wait_for_end(connection))


def events(api, connection, head):
    """One event, and no more."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                       b"transfer-encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
    silent(api, connection, head)


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("serve", [silent, events])
def test_a_caller_that_hangs_up_ends_the_apis_call_and_frees_the_lane(plane, tmp_path, serve, http2):
    with through_agents(plane, tmp_path, serve, ONE_LANE) as (api, base):
        for _ in range(3):
            version = "--http2-prior-knowledge" if http2 else "--http1.1"
            caller = subprocess.Popen(["curl", "-sSN", version, f"http://{base}/wait"],
                                      stdout=subprocess.PIPE)
            assert api.seen.get(timeout=PATIENCE) == "begun"
            if serve is events:
                assert caller.stdout.readline() == b"data: 1\n"
            caller.kill()
            assert api.seen.get(timeout=PATIENCE) in ["closed", "reset"]
            # There is one lane: while it is busy this would be refused.
            assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"


def test_a_caller_that_resets_its_stream_leaves_the_others_of_its_connection(plane, tmp_path):
    with through_agents(plane, tmp_path, events) as (api, base), Http2(base) as caller:
        caller.ask(1, "GET", "/wait")
        assert caller.until(h2.events.DataReceived, 1).data == b"data: 1\n"
        assert api.seen.get(timeout=PATIENCE) == "begun"
        caller.http.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
        caller.flush()
        assert api.seen.get(timeout=PATIENCE) in ["closed", "reset"]
        caller.ask(3, "GET", "/ready")
        assert caller.until(h2.events.DataReceived, 3).data == b"ok"


def breaks_off(api, connection, head):
    """Half of what it tells, or no last chunk."""
    if b"GET /length" in head:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
    else:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    # So that it is handed on before it breaks off.
    api.go_on.get(timeout=PATIENCE)


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_a_response_that_breaks_off_is_told_from_one_that_ends_and_costs_no_lane(
        plane, tmp_path, path):
    with through_agents(plane, tmp_path, breaks_off, ONE_LANE) as (api, base):
        api.go_on = queue.Queue()
        for _ in range(2):
            host, port = base.split(":")
            with socket.create_connection((host, int(port)), PATIENCE) as caller:
                caller.sendall(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
                assert b" 200 " in read_head(caller)
                seen = b""
                while b"half" not in seen:
                    seen += caller.recv(100)
                api.go_on.put("on")
                # Neither the length nor a last chunk comes.
                assert wait_for_end(caller) in ["closed", "reset"]
                assert not seen.endswith(b"0\r\n\r\n")
            with Http2(base) as caller:
                caller.ask(1, "GET", path)
                assert caller.until(h2.events.DataReceived, 1).data == b"half"
                api.go_on.put("on")
                reset = caller.until((h2.events.StreamReset, h2.events.StreamEnded), 1)
                assert isinstance(reset, h2.events.StreamReset)
            assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"


def test_a_request_that_breaks_off_is_told_from_one_that_ends(plane, tmp_path):
    """The API sees neither a last chunk nor a length that is reached."""

    def takes(api, connection, head):
        seen = b""
        connection.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                seen += more
                api.seen.put("some")
        api.seen.put(seen)

    with through_agents(plane, tmp_path, takes, ONE_LANE) as (api, base):
        host, port = base.split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as caller:
            caller.sendall(b"POST /half HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                           b"4\r\nhalf\r\n")
            assert api.seen.get(timeout=PATIENCE) == "some"
        while (seen := api.seen.get(timeout=PATIENCE)) == "some":
            pass
        assert b"half" in seen and not seen.endswith(b"0\r\n\r\n")
        assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"


@pytest.fixture(scope="module")
def sockets(plane, tmp_path_factory):
    sockets = Sockets()
    with agents(plane, tmp_path_factory.mktemp("sockets"), ONE_LANE) as made:
        made.producer("--upstream", f"http://127.0.0.1:{sockets.port}")
        _, base = made.consumer()
        served(f"http://{base}/ready")
        yield sockets, base
    sockets.server.shutdown()


def test_a_websocket_talks_with_subprotocol_extension_pings_and_close_codes(sockets):
    server, base = sockets
    with websockets.sync.client.connect(
            f"ws://{base}/talk", subprotocols=["chat.v1"]) as socket:
        assert socket.subprotocol == "chat.v1"
        assert "permessage-deflate" in socket.response.headers["sec-websocket-extensions"]
        for message in ["one", b"two", "x" * 1_000_000, bytes(1_000_000)]:
            socket.send(message)
            assert socket.recv(PATIENCE) == message
        assert socket.ping().wait(PATIENCE)
        socket.close(4001, "enough")
    assert server.closed.get(timeout=PATIENCE) == (4001, "enough")
    with websockets.sync.client.connect(
            f"ws://{base}/talk", subprotocols=["chat.v2"]) as socket:
        socket.send("close")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            socket.recv(PATIENCE)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "as asked")
    server.closed.get(timeout=PATIENCE)
    # There is one lane, and it is free again.
    assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"


def test_a_websocket_that_is_dropped_ends_at_the_server(sockets):
    server, base = sockets
    socket = websockets.sync.client.connect(f"ws://{base}/talk", subprotocols=["chat.v2"])
    socket.send("one")
    assert socket.recv(PATIENCE) == "one"
    socket.socket.shutdown(2)
    socket.socket.close()
    assert server.closed.get(timeout=PATIENCE)[0] in [None, 1006]
    assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"


def test_an_api_that_refuses_a_websocket_says_so(sockets):
    _, base = sockets
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(f"ws://{base}/refused")
    assert refused.value.response.status_code == 403
    assert b"no sockets for you" in refused.value.response.body
    assert requests.get(f"http://{base}/ready", timeout=PATIENCE).text == "ok"


def test_a_websocket_over_http_2(sockets):
    """RFC 8441: frames of `websockets`, carried in a stream of `h2`."""
    server, base = sockets
    frames = websockets.protocol.Protocol(websockets.protocol.CLIENT)
    with Http2(base) as caller:
        settings = caller.until(h2.events.RemoteSettingsChanged).changed_settings
        assert settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL].new_value == 1
        caller.ask(1, "CONNECT", "/talk", (":protocol", "websocket"),
                   ended=False, fields=[("sec-websocket-version", "13"),
                                        ("sec-websocket-protocol", "chat.v2")])
        headers = dict(caller.until(h2.events.ResponseReceived, 1).headers)
        assert headers[b":status"] == b"200" and headers[b"sec-websocket-protocol"] == b"chat.v2"
        assert b"upgrade" not in headers and b"sec-websocket-accept" not in headers

        def send():
            caller.http.send_data(1, b"".join(frames.data_to_send()))
            caller.flush()

        frames.send_text(b"over http 2")
        send()
        frames.receive_data(caller.until(h2.events.DataReceived, 1).data)
        assert frames.events_received()[0].data == b"over http 2"
        frames.send_close(4003, "enough")
        send()
        assert server.closed.get(timeout=PATIENCE) == (4003, "enough")
        caller.until(h2.events.StreamEnded, 1)


def test_connect_is_refused_and_says_so(sockets):
    _, base = sockets
    done = curl("-i", "-X", "CONNECT", "--request-target", base, f"http://{base}/")
    assert " 501 " in done.stdout and "urn:armour:problem:upgrade" in done.stdout, done
    with Http2(base) as caller:
        caller.http.send_headers(1, [(":method", "CONNECT"), (":authority", base)])
        caller.flush()
        headers = dict(caller.until(h2.events.ResponseReceived, 1).headers)
        assert headers[b":status"] == b"501"
