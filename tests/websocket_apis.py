"""APIs of WebSocket: of HTTP/1.1 by `websockets`, of HTTP/2 by its frames in a stream of `h2`."""

import queue
import threading

import h2.events
import websockets.protocol
import websockets.sync.server


class Sockets:
    """A WebSocket server that says how each connection closed."""

    def __init__(self):
        self.closed = queue.Queue()
        self.server = websockets.sync.server.serve(
            self.serve, "127.0.0.1", 0, subprotocols=["chat.v2", "chat.v1"],
            process_request=self.greet, compression="deflate")
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def greet(self, connection, request):
        if request.path == "/ready":
            return connection.respond(200, "ok")
        if request.path == "/refused":
            return connection.respond(403, "no sockets for you")
        return None

    def serve(self, connection):
        try:
            for message in connection:
                if message == "close":
                    connection.close(4002, "as asked")
                connection.send(message)
        finally:
            protocol = connection.protocol
            self.closed.put((protocol.close_code, protocol.close_reason))


def echo(api, stream):
    """WebSocket in a stream (RFC 8441): gives back what comes; close frames too."""
    assert stream.fields[":method"] == "CONNECT" and stream.fields[":protocol"] == "websocket"
    if stream.fields[":path"] == "/refused":
        stream.head(403, ("content-type", "text/plain"))
        return stream.send(b"no sockets for you", ended=True)
    assert "sec-websocket-key" not in stream.fields
    server = websockets.protocol.Protocol(websockets.protocol.SERVER)
    stream.head(200, ("sec-websocket-protocol", stream.fields["sec-websocket-protocol"]))
    while isinstance(event := stream.next(), h2.events.DataReceived):
        server.receive_data(event.data)
        for frame in server.events_received():
            if frame.opcode is websockets.protocol.OP_TEXT:
                server.send_text(frame.data)
            elif frame.opcode is websockets.protocol.OP_CLOSE:
                api.seen.put((server.close_rcvd.code, server.close_rcvd.reason))
        for data in server.data_to_send():
            if data:
                stream.send(data)
    stream.send(b"", ended=True)
