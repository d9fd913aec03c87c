"""An API made of bytes: it records each request as it came, and answers as it is told."""

import contextlib
import json
import queue
import socket
import threading

from control_plane import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class RawApi:
    """Answers each request on a path with the bytes set for it, `OK` if there are none."""

    def __init__(self):
        self.answers = {}
        self.heads = queue.Queue()
        # Requests that a connection is answered, before the next one closes it.
        self.each_connection = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(PATIENCE)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        """One connection. An answer is bytes, after which the connection is kept, or a
        function of the connection, after which it is closed.
        """
        held, answered = b"", 0
        with connection, contextlib.suppress(OSError):
            while True:
                head, held = until_blank_line(connection, held)
                if not head or answered == self.each_connection:
                    return
                answered += 1
                length = int(fields(head).get("content-length", ["0"])[0])
                chunked = "transfer-encoding" in fields(head)
                while len(held) < length or chunked and not held.endswith(b"0\r\n\r\n"):
                    more = connection.recv(65536)
                    if not more:
                        return
                    held += more
                held = b"" if chunked else held[length:]
                target = head.split(b" ", 2)[1].decode()
                if not target.endswith("/ready"):
                    self.heads.put(head)
                answer = self.answers.get(target, OK)
                if callable(answer):
                    return answer(connection)
                connection.sendall(answer)

    def asked(self) -> bytes:
        """The head of the request that came next."""
        return self.heads.get(timeout=PATIENCE)


def until_blank_line(connection, held=b"") -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in held:
        more = connection.recv(65536)
        if not more:
            return b"", held
        held += more
    head, rest = held.split(b"\r\n\r\n", 1)
    return head, rest


def fields(head: bytes) -> dict[str, list[str]]:
    """A head's fields, by their names in lower case."""
    found = {}
    for line in head.split(b"\r\n")[1:]:
        name, value = line.decode("latin-1").split(":", 1)
        found.setdefault(name.lower(), []).append(value.strip())
    return found


def ask(address: str, request: bytes, half_close=False) -> bytes:
    """Sends these bytes, which have to ask for a close; all that comes back."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                answer += more
        return answer


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer
    return int(answer.split(b" ", 2)[1])


def problem(answer: bytes) -> str:
    """The name of the problem that it is, if it is one."""
    body = answer.split(b"\r\n\r\n", 1)[1]
    try:
        return json.loads(body)["type"].removeprefix("urn:armour:problem:")
    except ValueError:
        return ""
