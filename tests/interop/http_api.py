"""An API of Python's http.server that shows what HTTP has besides a request and its answer."""

import contextlib
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import browser

EVENTS = 5
LARGE = 1_000_000
TOO_LARGE = 20_000_000


class Api(BaseHTTPRequestHandler):
    """Each path is named by what it shows."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        shows = {"/events": self.events, "/hints": self.hints, "/trailers": self.trailers,
                 "/range": self.range, "/page": self.page, "/step": self.step, "/told": self.told}
        shows.get(path, self.hello)()

    do_HEAD = do_GET

    def do_POST(self):
        if self.path == "/large":
            return self.large()
        self.answer(200, self.body(), "application/octet-stream")

    def body(self) -> bytes:
        if length := self.headers["content-length"]:
            return self.rfile.read(int(length))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def answer(self, status: int, body: bytes, kind: str = "text/plain", **fields: str):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hello(self):
        self.answer(200, b"hello")

    def page(self):
        self.answer(200, browser.EVENTS_PAGE, "text/html")

    def step(self):
        self.server.seen.put(None)
        self.hello()

    def told(self):
        self.server.told.put(self.path.partition("?")[2])
        self.hello()

    def range(self):
        first, last = self.headers["range"].removeprefix("bytes=").split("-")
        body = b"0123456789"[int(first):int(last) + 1]
        self.answer(206, body, content_range=f"bytes {first}-{last}/10")

    def hints(self):
        """103 Early Hints (RFC 8297), twice, before the answer."""
        for sheet in ["one", "two"]:
            self.send_response_only(103)
            self.send_header("link", f"</{sheet}.css>; rel=preload; as=style")
            self.end_headers()
        self.hello()

    def trailers(self):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("trailer", "x-checked")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n0\r\nx-checked: yes\r\n\r\n")

    def events(self):
        """Each event is sent once its client has told of the one before."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.server.seen = queue.Queue()
        for number in range(EVENTS):
            text = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            self.wfile.flush()
            self.server.seen.get(timeout=60)
        self.wfile.write(b"0\r\n\r\n")

    def large(self):
        """Refuses before it has read anything, and goes as servers do: what comes meanwhile
        is read, so that its answer is not lost to a reset."""
        self.close_connection = True
        self.answer(413, b"too large", connection="close")
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        with contextlib.suppress(OSError):
            while self.connection.recv(65536):
                pass

    def log_message(self, *_):
        pass


class Running(ThreadingHTTPServer):
    """The API: `seen` lets the next event be sent, `told` is what a page has told."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Api)
        self.seen, self.told = queue.Queue(), queue.Queue()

    def handle_error(self, *_):
        """A client that has gone is that case's outcome."""


@contextlib.contextmanager
def served():
    server = Running()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
