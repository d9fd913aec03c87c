"""What passes through two agents before, beside and after a call's content: informational
responses, `Expect`, the codes by which streams are reset, WebSocket to APIs of HTTP/2. APIs made
of bytes, or of HTTP/2's frames, behind them; curl, `websockets`, `h2` and raw sockets before them.
"""

import contextlib
import queue
import socket
import subprocess

import h2.events
import pytest
import websockets.exceptions
import websockets.protocol
import websockets.sync.client

from agents import agents, served
from control_plane import PATIENCE, control_plane
from http2 import Code, Http2, Http2Api
from raw_http import RawApi, until_blank_line
from websocket_apis import echo

ONE_LANE = {"max_lanes": 1}


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@contextlib.contextmanager
def before(plane, folder, upstream: str, *producer, policy=None):
    """Two agents before an API; where it is called."""
    with agents(plane, folder, policy) as made:
        made.producer("--upstream", upstream, *producer)
        _, base = made.consumer()
        served(f"http://{base}/ready")
        yield base


class Http2Before:
    """Two agents with one lane before an API of HTTP/2, which each test serves as it likes."""

    def __init__(self):
        self.api = Http2Api(lambda api, stream: self.serve(api, stream), websockets=True)


@pytest.fixture(scope="module")
def http2(plane, tmp_path_factory):
    made = Http2Before()
    folder = tmp_path_factory.mktemp("http2")
    with before(plane, folder, made.api.base, "--upstream-http2", policy=ONE_LANE) as base:
        made.base = base
        yield made


@pytest.fixture(scope="module")
def http1(plane, tmp_path_factory):
    api = RawApi()
    with before(plane, tmp_path_factory.mktemp("http1"), api.base, policy=ONE_LANE) as base:
        api.consumer = base
        yield api


def curl(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *arguments],
                          capture_output=True, text=True)


def connect(base: str) -> socket.socket:
    host, port = base.split(":")
    return socket.create_connection((host, int(port)), PATIENCE)


BOTH = pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
HINTS = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
         b"HTTP/1.1 102 Processing\r\n\r\n"
         b"HTTP/1.1 103 Early Hints\r\nlink: </b.css>; rel=preload\r\nContent-Length: 7\r\n\r\n")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def heads(shown: str) -> list[str]:
    """Statuses and links that curl shows, in their order."""
    lines = shown.replace("\r", "").split("\n")
    return [line.split(" ", 1)[1][:3] if line.startswith("HTTP/") else line.lower()
            for line in lines if line.startswith("HTTP/") or line.lower().startswith("link")]


EXPECTED = ["103", "link: </a.css>; rel=preload", "102", "103", "link: </b.css>; rel=preload",
            "200"]


@BOTH
def test_informational_responses_of_an_http_1_api_reach_the_caller(http1, version):
    http1.answers["/hints"] = HINTS + OK
    done = curl(version, "-i", f"http://{http1.consumer}/hints")
    assert heads(done.stdout) == EXPECTED and done.stdout.endswith("ok"), done
    assert "content-length: 7" not in done.stdout.lower()


@BOTH
def test_informational_responses_of_an_http_2_api_reach_the_caller(http2, version):
    def serve(_, stream):
        stream.head(103, ("link", "</a.css>; rel=preload"))
        stream.head(102)
        stream.head(103, ("link", "</b.css>; rel=preload"))
        stream.head(200)
        stream.send(b"ok", ended=True)

    http2.serve = serve
    done = curl(version, "-i", f"http://{http2.base}/hints")
    assert heads(done.stdout) == EXPECTED and done.stdout.endswith("ok"), done


def test_informational_responses_come_before_the_answer_is_there(http1):
    """Each is signed and handed on as it comes; to HTTP/1.0 none is."""
    go_on = queue.Queue()

    def slow(connection):
        connection.sendall(HINTS)
        go_on.get(timeout=PATIENCE)
        connection.sendall(OK)

    http1.answers["/slow"] = slow
    with connect(http1.consumer) as caller:
        caller.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        held = b""
        for status in [b"103", b"102", b"103"]:
            head, held = until_blank_line(caller, held)
            assert head.split(b" ")[1] == status
        go_on.put("on")
        assert b" 200 " in until_blank_line(caller, held)[0]
        # The same connection serves another one.
        caller.sendall(b"GET /ready HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b" 200 " in until_blank_line(caller)[0]
    with connect(http1.consumer) as caller:
        go_on.put("on")
        caller.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert until_blank_line(caller)[0].split(b" ")[1] == b"200"


def test_an_api_that_fails_after_informational_responses_is_an_error_that_says_so(http1):
    http1.answers["/fails"] = lambda connection: connection.sendall(HINTS)
    done = curl("-i", f"http://{http1.consumer}/fails")
    assert heads(done.stdout)[-1] == "502" and "urn:armour:problem:upstream" in done.stdout, done


POST = (b"POST /%s HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n"
        b"connection: close\r\n\r\n")


class Expecting:
    """An API that reads a head, and goes on as the test says."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def next(self):
        """The next request but those that ask whether it is there: its connection and head."""
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(PATIENCE)
            head, _ = until_blank_line(connection)
            if b" /ready " not in head:
                return connection, head
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            connection.close()


@pytest.fixture(scope="module")
def expecting(plane, tmp_path_factory):
    import threading

    with Expecting() as api, agents(plane, tmp_path_factory.mktemp("expect"), ONE_LANE) as made:
        made.producer("--upstream", api.base, "--upstream-check", "off")
        _, api.consumer = made.consumer()
        requests = queue.Queue()
        waiting = threading.Thread(
            target=lambda: [requests.put(api.next()) for _ in range(3)], daemon=True)
        waiting.start()
        served(f"http://{api.consumer}/ready")
        yield api, requests


def test_a_caller_that_waits_to_be_told_to_go_on_is_told_by_the_api(expecting):
    api, requests = expecting
    with connect(api.consumer) as caller:
        caller.sendall(POST % b"take")
        upstream, head = requests.get(timeout=PATIENCE)
        with upstream:
            assert b"expect: 100-continue" in head.lower()
            # Nobody else says so.
            caller.settimeout(0.5)
            with pytest.raises(TimeoutError):
                caller.recv(1)
            caller.settimeout(PATIENCE)
            upstream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert until_blank_line(caller)[0] == b"HTTP/1.1 100 Continue"
            caller.sendall(b"more")
            assert upstream.recv(4) == b"more"
            upstream.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            assert b" 201 " in until_blank_line(caller)[0]
    with Http2(api.consumer) as caller:
        caller.ask(1, "POST", "/take", fields=[("expect", "100-continue")], ended=False)
        upstream, _ = requests.get(timeout=PATIENCE)
        with upstream:
            upstream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            interim = caller.until(h2.events.InformationalResponseReceived, 1)
            assert dict(interim.headers)[b":status"] == b"100"
            caller.send(1, b"more", ended=True)
            body = b""
            while not body.endswith(b"0\r\n\r\n"):
                body += upstream.recv(100)
            assert body == b"4\r\nmore\r\n0\r\n\r\n"
            upstream.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            head = dict(caller.until(h2.events.ResponseReceived, 1).headers)
            assert head[b":status"] == b"201"


def test_an_api_that_declines_what_is_expected_gets_no_content(expecting):
    api, requests = expecting
    with connect(api.consumer) as caller:
        caller.sendall(POST % b"decline")
        upstream, _ = requests.get(timeout=PATIENCE)
        with upstream:
            upstream.sendall(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n"
                             b"connection: close\r\n\r\nno")
            head, held = until_blank_line(caller)
            assert head.startswith(b"HTTP/1.1 417 ")
            caller.close()
            assert upstream.recv(100) == b""


def codes(*reasons):
    return pytest.mark.parametrize("code", reasons, ids=lambda code: code.name)


@codes(Code.CANCEL, Code.INTERNAL_ERROR, Code.ENHANCE_YOUR_CALM, Code.NO_ERROR)
def test_the_code_by_which_an_api_resets_its_answer_reaches_the_caller(http2, code):
    go_on = queue.Queue()

    def serve(_, stream):
        stream.head(200)
        stream.send(b"half")
        go_on.get(timeout=PATIENCE)
        stream.reset(code)

    http2.serve = serve
    with Http2(http2.base) as caller:
        for number in [1, 3]:
            caller.ask(number, "GET", "/cut")
            assert caller.until(h2.events.DataReceived, number).data == b"half"
            go_on.put("on")
            ended = caller.until((h2.events.StreamReset, h2.events.StreamEnded), number)
            assert isinstance(ended, h2.events.StreamReset) and ended.error_code == code
    # To HTTP/1.1 it is cut.
    go_on.put("on")
    done = curl(f"http://{http2.base}/cut")
    assert done.returncode == 18 and done.stdout == "half", done


@codes(Code.CANCEL, Code.INTERNAL_ERROR, Code.ENHANCE_YOUR_CALM, Code.NO_ERROR)
def test_the_code_by_which_a_caller_resets_its_request_reaches_the_api(http2, code):
    """And it has no end, whatever the code."""
    ends = queue.Queue()

    def serve(_, stream):
        if stream.fields[":path"] == "/answering":
            stream.head(200)
        assert stream.content() == b"half"
        ends.put("half")
        ends.put(stream.next())

    http2.serve = serve
    with Http2(http2.base) as caller:
        for number, path in [(1, "/silent"), (3, "/answering")]:
            caller.ask(number, "POST", path, ended=False)
            caller.send(number, b"half")
            assert ends.get(timeout=PATIENCE) == "half"
            caller.reset(number, code)
            end = ends.get(timeout=PATIENCE)
            assert isinstance(end, h2.events.StreamReset) and end.error_code == code, end


@pytest.mark.parametrize("answering", [False, True], ids=["silent", "answering"])
@pytest.mark.parametrize("way", ["close", "reset", "leave"])
def test_a_caller_that_hangs_up_after_its_request_cancels_the_apis_call(http2, way, answering):
    """Over HTTP/1.1 by closing its connection, over HTTP/2 by its stream or its connection."""
    told = queue.Queue()

    def serve(_, stream):
        assert isinstance(stream.next(), h2.events.StreamEnded)
        if answering:
            stream.head(200)
            stream.send(b"half")
        told.put("asked")
        told.put(stream.next())

    http2.serve = serve
    if way == "close":
        with connect(http2.base) as caller:
            caller.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
            assert told.get(timeout=PATIENCE) == "asked"
            if answering:
                assert b" 200 " in caller.recv(65536)
    else:
        with Http2(http2.base) as caller:
            caller.ask(1, "GET", "/wait")
            assert told.get(timeout=PATIENCE) == "asked"
            if answering:
                caller.until(h2.events.DataReceived, 1)
            if way == "reset":
                caller.reset(1, Code.CANCEL)
                assert_cancelled(told)
        if way == "reset":
            return
    assert_cancelled(told)


def assert_cancelled(told: queue.Queue):
    end = told.get(timeout=PATIENCE)
    assert isinstance(end, h2.events.StreamReset) and end.error_code == Code.CANCEL, end


@codes(Code.CANCEL, Code.REFUSED_STREAM, Code.INTERNAL_ERROR)
def test_an_api_that_resets_its_stream_before_it_answers_is_told_of_by_a_502(http2, code):
    http2.serve = lambda _, stream: stream.reset(code)
    done = curl("-X", "POST", "-i", f"http://{http2.base}/cut")
    assert heads(done.stdout)[-1] == "502" and "urn:armour:problem:upstream" in done.stdout, done
    with Http2(http2.base) as caller:
        caller.ask(1, "POST", "/cut")
        assert dict(caller.until(h2.events.ResponseReceived, 1).headers)[b":status"] == b"502"


@codes(Code.CANCEL, Code.INTERNAL_ERROR)
def test_a_grpc_server_that_resets_a_call_is_heard_by_its_status(http2, code):
    go_on = queue.Queue()

    def serve(_, stream):
        stream.head(200, ("content-type", "application/grpc+proto"))
        stream.send(b"\0\0\0\0\0")
        go_on.get(timeout=PATIENCE)
        stream.reset(code)

    http2.serve = serve
    with Http2(http2.base) as caller:
        caller.ask(1, "POST", "/t.T/Cut", fields=[("te", "trailers")])
        caller.until(h2.events.DataReceived, 1)
        go_on.put("on")
        trailers = dict(caller.until(h2.events.TrailersReceived, 1).headers)
        assert trailers[b"grpc-status"] == {Code.CANCEL: b"1", Code.INTERNAL_ERROR: b"13"}[code]


@pytest.mark.parametrize("framing", [b"content-length: 8\r\n\r\nhalf",
                                     b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
                         ids=["length", "chunked"])
def test_an_answer_of_http_1_that_breaks_off_is_an_internal_error_to_http_2(http1, framing):
    go_on = queue.Queue()

    def cut(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing)
        go_on.get(timeout=PATIENCE)

    http1.answers["/cut"] = cut
    with Http2(http1.consumer) as caller:
        caller.ask(1, "GET", "/cut")
        assert caller.until(h2.events.DataReceived, 1).data == b"half"
        go_on.put("on")
        ended = caller.until((h2.events.StreamReset, h2.events.StreamEnded), 1)
        assert isinstance(ended, h2.events.StreamReset)
        assert ended.error_code == Code.INTERNAL_ERROR


def test_an_answer_that_breaks_off_is_told_from_one_that_ends_in_http_1_0(http1):
    go_on = queue.Queue()

    def cut(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        if go_on.get(timeout=PATIENCE) == "end":
            connection.sendall(b"0\r\n\r\n")

    http1.answers["/old"] = cut
    for way in ["end", "cut"]:
        with connect(http1.consumer) as caller:
            caller.sendall(b"GET /old HTTP/1.0\r\n\r\n")
            seen = b""
            while b"half" not in seen:
                seen += caller.recv(100)
            go_on.put(way)
            if way == "end":
                assert caller.recv(100) == b""
            else:
                with pytest.raises(ConnectionResetError):
                    caller.recv(100)


def test_an_api_that_reads_nothing_of_an_upload_is_given_up_in_time(plane, tmp_path):
    with Expecting() as api, agents(plane, tmp_path / "a", ONE_LANE) as made:
        made.producer("--upstream", api.base, "--upstream-timeout", "2",
                      "--upstream-check", "off")
        _, base = made.consumer()
        held = []
        import threading
        threading.Thread(target=lambda: held.append(api.next()), daemon=True).start()
        served(f"http://{base}/ready")
        upload = tmp_path / "upload"
        upload.write_bytes(bytes(30_000_000))
        done = curl("-w", "\n%{http_code}", "-H", "expect:", "--data-binary", f"@{upload}",
                    f"http://{base}/never-read")
        assert done.stdout.endswith("504") and "upstream-timeout" in done.stdout, done


def test_a_websocket_of_http_1_reaches_an_api_of_http_2(http2):
    http2.serve = echo
    for _ in range(2):
        with websockets.sync.client.connect(
                f"ws://{http2.base}/talk", subprotocols=["chat.v2"]) as socket:
            assert socket.subprotocol == "chat.v2"
            for message in ["one", "two"]:
                socket.send(message)
                assert socket.recv(PATIENCE) == message
            assert socket.ping().wait(PATIENCE)
            socket.close(4001, "enough")
        assert http2.api.seen.get(timeout=PATIENCE) == (4001, "enough")
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(f"ws://{http2.base}/refused")
    assert refused.value.response.status_code == 403


def test_a_websocket_of_http_2_reaches_an_api_of_http_2(http2):
    http2.serve = echo
    client = websockets.protocol.Protocol(websockets.protocol.CLIENT)
    with Http2(http2.base) as caller:
        caller.ask(1, "CONNECT", "/talk", (":protocol", "websocket"), ended=False,
                   fields=[("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat.v2")])
        head = dict(caller.until(h2.events.ResponseReceived, 1).headers)
        assert head[b":status"] == b"200" and head[b"sec-websocket-protocol"] == b"chat.v2"
        assert b"sec-websocket-accept" not in head and b"upgrade" not in head
        client.send_text(b"over http 2")
        caller.send(1, b"".join(client.data_to_send()))
        client.receive_data(caller.until(h2.events.DataReceived, 1).data)
        assert client.events_received()[0].data == b"over http 2"
        client.send_close(4003, "enough")
        caller.send(1, b"".join(client.data_to_send()), ended=True)
        assert http2.api.seen.get(timeout=PATIENCE) == (4003, "enough")
        caller.until(h2.events.StreamEnded, 1)
