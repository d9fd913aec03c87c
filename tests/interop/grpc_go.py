"""gRPC: grpc-go's interoperability client before its server
(https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md)."""

import contextlib

from control_plane import free_port
from suite import Server, answers, ran, running, tried

NAME = "grpc-go"
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
         "empty_stream", "timeout_on_sleeping_server", "cancel_after_begin",
         "cancel_after_first_response", "status_code_and_message", "special_status_message",
         "custom_metadata", "unimplemented_method", "unimplemented_service", "rpc_soak",
         "channel_soak"]


@contextlib.contextmanager
def serve(tools, folder):
    port = free_port()
    with running([tools.program("bin/server"), f"-port={port}"], port, folder / "server.log"):
        yield Server(port, ("--upstream-http2",))


def command(tools, address, case):
    host, port = address.split(":")
    return [tools.program("bin/client"), f"-server_host={host}", f"-server_port={port}",
            f"-test_case={case}", "-soak_iterations=100"]


def ready(address):
    # The server refuses a GET itself, with 405.
    return answers(address)


def cases(tools, folder, address, direct):
    for case in CASES:
        yield f"grpc-go: {case}", tried(ran, command(tools, address, case))
