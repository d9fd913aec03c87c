"""HTTP/2 without TLS, stream by stream as a test says: a caller, and an API."""

import contextlib
import queue
import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from control_plane import PATIENCE

Code = h2.errors.ErrorCodes


class Http2:
    """A caller's connection."""

    def __init__(self, base: str):
        host, port = base.split(":")
        self.base, self.connection = base, socket.create_connection((host, int(port)), PATIENCE)
        # CONNECT has no path, which the library does not know.
        config = h2.config.H2Configuration(validate_outbound_headers=False)
        self.http, self.events = h2.connection.H2Connection(config), []
        self.http.initiate_connection()
        self.flush()

    def flush(self):
        self.connection.sendall(self.http.data_to_send())

    def ask(self, stream: int, method: str, path: str, *pseudo, fields=(), ended: bool = True):
        self.http.send_headers(stream, [
            (":method", method), *pseudo, (":scheme", "http"), (":authority", self.base),
            (":path", path), *fields], end_stream=ended)
        self.flush()

    def send(self, stream: int, data: bytes, ended: bool = False):
        self.http.send_data(stream, data, end_stream=ended)
        self.flush()

    def reset(self, stream: int, code: Code):
        self.http.reset_stream(stream, code)
        self.flush()

    def until(self, kind, stream: int | None = None):
        """The next event of this kind, of any stream or of this one."""
        while True:
            for event in list(self.events):
                self.events.remove(event)
                if isinstance(event, kind) and stream in [None, getattr(event, "stream_id", None)]:
                    return event
            received = self.connection.recv(65536)
            assert received, "the connection was closed"
            self.events += self.http.receive_data(received)
            self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class Stream:
    """A request to an API, and its answer."""

    def __init__(self, connection, number: int, fields):
        self.connection, self.number, self.events = connection, number, queue.Queue()
        self.fields = {name.decode(): value.decode() for name, value in fields}

    def next(self):
        """The next event of the stream: of data, trailers, its end or a reset."""
        return self.events.get(timeout=PATIENCE)

    def content(self) -> bytes:
        """The next content."""
        event = self.next()
        assert isinstance(event, h2.events.DataReceived), event
        return event.data

    def head(self, status: int, *fields, ended: bool = False):
        self.act("send_headers", [(":status", str(status)), *fields], end_stream=ended)

    def send(self, data: bytes, ended: bool = False):
        self.act("send_data", data, end_stream=ended)

    def trailers(self, *fields):
        self.act("send_headers", list(fields), end_stream=True)

    def reset(self, code: Code):
        self.act("reset_stream", code)

    def act(self, call: str, *arguments, **named):
        with self.connection.lock:
            getattr(self.connection.http, call)(self.number, *arguments, **named)
            self.connection.flush()


class Connection:
    def __init__(self, api, socket):
        self.api, self.socket, self.lock, self.streams = api, socket, threading.Lock(), {}
        config = h2.config.H2Configuration(client_side=False, validate_inbound_headers=False)
        self.http = h2.connection.H2Connection(config)
        if api.websockets:
            allowed = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
            self.http.local_settings = h2.settings.Settings(client=False, initial_values=allowed)
        self.http.initiate_connection()
        self.flush()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def run(self):
        with self.socket, contextlib.suppress(OSError):
            while received := self.socket.recv(65536):
                with self.lock:
                    events = self.http.receive_data(received)
                    for event in events:
                        self.take(event)
                    self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            stream = Stream(self, event.stream_id, event.headers)
            self.streams[event.stream_id] = stream
            threading.Thread(target=self.serve, args=[stream], daemon=True).start()
            return
        if isinstance(event, h2.events.DataReceived):
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream and not isinstance(event, h2.events.WindowUpdated):
            stream.events.put(event)

    def serve(self, stream):
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            if stream.fields[":path"] == "/ready":
                stream.head(200)
                return stream.send(b"ok", ended=True)
            self.api.serve(self.api, stream)


class Http2Api:
    """A server; `serve` is called with it and each stream, in a thread of its own."""

    def __init__(self, serve, websockets: bool = False):
        self.serve, self.websockets, self.seen = serve, websockets, queue.Queue()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=Connection(self, connection).run, daemon=True).start()
