"""WebSocket: `websockets`, undici, Java and Chromium before a server of `websockets`."""

import contextlib
import logging
import os
import queue
import threading

import websockets.sync.client
import websockets.sync.server
from websockets.exceptions import ConnectionClosed, InvalidStatus

import browser
from suite import CASE, PASS, Server, answers, failed, ran, tried

NAME = "websocket"
told = queue.Queue()
logging.getLogger("quiet").disabled = True


def ready(address):
    return answers(address)


@contextlib.contextmanager
def serve(tools, folder):
    server = websockets.sync.server.serve(
        talk, "127.0.0.1", 0, select_subprotocol=first, process_request=greet, max_size=None,
        logger=logging.getLogger("quiet"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Server(server.socket.getsockname()[1])
    finally:
        server.shutdown()


def first(connection, offered):
    """The subprotocol that a client would like best."""
    return offered[0] if offered else None


def greet(connection, request):
    """What is asked without a handshake."""
    path, _, query = request.path.partition("?")
    if path == "/refused":
        return connection.respond(403, "no sockets for you")
    if path == "/talk":
        return None
    if path == "/told":
        told.put(query)
    answer = connection.respond(200, browser.SOCKET_PAGE.decode() if path == "/page" else "hello")
    if path == "/page":
        del answer.headers["content-type"]
        answer.headers["content-type"] = "text/html"
    return answer


def talk(connection):
    """Sends back what it gets; closes when asked to."""
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            if message == "close":
                return connection.close(4002, "as asked")
            connection.send(message)


def cases(tools, folder, address, direct):
    base = f"http://{address}"
    for name, check in [("text, binary, 1 MB, deflate", messages), ("fragments", fragments),
                        ("ping", ping), ("subprotocol", subprotocol), ("close codes", closes),
                        ("refusal with 403", refused)]:
        yield f"websockets: {name}", tried(check, address)
    yield "undici: WebSocket", tried(ran, tools.node("client.mjs", base, "webSocket"), "passed")
    yield "Java: WebSocket", tried(ran, tools.java("Client.java", base, "webSocket"), "passed")
    yield "Chromium: WebSocket", tried(
        browser.shown, folder, f"{base}/page", told,
        "chat.v1,permessage-deflate,text,same,4002,as asked")


def connect(address, **options):
    return websockets.sync.client.connect(
        f"ws://{address}/talk", open_timeout=CASE, max_size=None, **options)


def messages(address):
    with connect(address) as socket:
        assert "permessage-deflate" in socket.response.headers["sec-websocket-extensions"]
        for message in ["text", b"binary", "", "x" * 1_000_000, os.urandom(1_000_000)]:
            socket.send(message)
            assert socket.recv(CASE) == message


def fragments(address):
    with connect(address) as socket:
        socket.send(part for part in ["one ", "two ", "three"])
        assert socket.recv(CASE) == "one two three"


def ping(address):
    with connect(address) as socket:
        assert socket.ping().wait(CASE)


def subprotocol(address):
    with connect(address, subprotocols=["chat.v1"]) as socket:
        assert socket.subprotocol == "chat.v1"


def closes(address):
    with connect(address) as socket:
        socket.send("close")
        try:
            socket.recv(CASE)
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4002, "as asked"), closed
        else:
            raise AssertionError("a message")


def refused(address):
    try:
        websockets.sync.client.connect(f"ws://{address}/refused", open_timeout=CASE)
    except InvalidStatus as error:
        answer = error.response
        right = answer.status_code == 403 and b"no sockets for you" in answer.body
        return PASS if right else failed(str(answer))
    return failed("taken")
