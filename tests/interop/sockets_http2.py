"""WebSocket in a stream of HTTP/2 (RFC 8441): Chromium before a consumer's agent that serves TLS."""

import browser
import sockets
from suite import answers, certificate, tried

NAME = "websocket-http2"
serve = sockets.serve
consumer_options = certificate


def ready(address):
    return answers(address, "https")


def cases(tools, folder, address, direct):
    # Without an agent there is no HTTP/2 server of WebSocket here.
    if not direct:
        yield "Chromium: WebSocket over HTTP/2", tried(
            browser.shown, folder, f"https://{address}/page", sockets.told,
            "chat.v1,permessage-deflate,text,same,4002,as asked", b":protocol: websocket")
