"""A hop on the way of HTTP: it passes requests on, as a proxy does, unless it is told
otherwise.
"""

import http.server
import threading

import requests

from control_plane import PATIENCE, free_port

PASS = object()
KEPT_OFF = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Hop:
    """Listens on a port of its own. `meddle(hop, path, body)` may return a status and a body in
    place of an answer, `None` to cut the connection, `PASS`, or what answers the request itself."""

    def __init__(self, to: str, meddle=None, alter=None):
        self.to, self.meddle, self.alter = to, meddle or (lambda *_: PASS), alter
        self.port, self.seen, self.lock = free_port(), [], threading.Lock()
        self.base = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        hop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                hop.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def count(self, of: str) -> int:
        with self.lock:
            return sum(of in path for path in self.seen)

    def handle(self, request):
        body = whole(request)
        with self.lock:
            self.seen.append(request.path)
        answer = self.meddle(self, request.path, body)
        if answer is None:
            request.close_connection = True
            return
        if answer is PASS:
            self.pass_on(request, body)
        elif callable(answer):
            answer(request)
        else:
            send(request, answer[0], {}, answer[1])

    def forward(self, path: str, body: bytes) -> tuple[int, bytes] | None:
        """Posts a body to where this hop leads; what comes back may answer a request. None where
        the connection was cut, as an answer is that its producer has broken off."""
        try:
            answer = requests.post(self.to + path, body, timeout=PATIENCE,
                                   headers={"content-type": "application/octet-stream"})
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return None
        return answer.status_code, answer.content

    def pass_on(self, request, body: bytes):
        headers = {k: v for k, v in request.headers.items() if k.lower() not in KEPT_OFF}
        try:
            answer = requests.request(
                request.command, self.to + request.path, headers=headers, data=body,
                timeout=PATIENCE, allow_redirects=False, stream=True)
            if "event-stream" in answer.headers.get("content-type", ""):
                return stream(request, answer)
            content = answer.content
        except requests.RequestException:
            request.close_connection = True
            return
        if self.alter:
            content = self.alter(request.path, content)
        send(request, answer.status_code, answer.headers, content)


def silent(until: threading.Event, first: bytes = b""):
    """An answer of status 200 that has no more than a beginning, for as long as it is held."""

    def answer(request):
        request.close_connection = True
        try:
            request.send_response(200)
            request.send_header("content-type", "application/octet-stream")
            request.send_header("connection", "close")
            request.end_headers()
            request.wfile.write(first)
            request.wfile.flush()
            until.wait(PATIENCE)
        except OSError:
            pass

    return answer


def whole(request) -> bytes:
    """A request's body."""
    return b"".join(pieces(request))


def pieces(request):
    """A request's body, as it comes."""
    if request.headers.get("transfer-encoding") != "chunked":
        yield request.rfile.read(int(request.headers.get("content-length") or 0))
        return
    while size := int(request.rfile.readline(), 16):
        yield request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()


def send(request, status: int, headers, content: bytes):
    try:
        request.send_response(status)
        for name, value in headers.items():
            if name.lower() not in KEPT_OFF | {"content-encoding", "date", "server"}:
                request.send_header(name, value)
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
    except OSError:
        request.close_connection = True


def stream(request, answer):
    """A stream of events, as it comes, until either end closes it."""
    request.close_connection = True
    try:
        request.send_response(answer.status_code)
        request.send_header("content-type", answer.headers["content-type"])
        request.send_header("connection", "close")
        request.end_headers()
        for piece in answer.iter_content(None):
            request.wfile.write(piece)
            request.wfile.flush()
    except (OSError, requests.RequestException):
        pass
