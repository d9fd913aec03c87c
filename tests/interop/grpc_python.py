"""gRPC: grpcio before grpcio."""

import contextlib
import queue
import threading
import time
from concurrent import futures

import grpc

from suite import CASE, Server, tried

NAME = "grpcio"
_ended = queue.Queue()


class Kinds(grpc.GenericRpcHandler):
    """Calls of four kinds, of bytes; each handler is named by what it does."""

    def service(self, details):
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        return {
            "/t.T/Unary": unary(lambda one, _: b"re: " + one),
            "/t.T/Slow": unary(slow),
            "/t.T/Answers": grpc.unary_stream_rpc_method_handler(
                lambda one, _: (one + b"%d" % number for number in range(10))),
            "/t.T/Requests": grpc.stream_unary_rpc_method_handler(
                lambda many, _: b",".join(many)),
            "/t.T/Both": stream(lambda many, _: (b"re: " + one for one in many)),
            "/t.T/Forever": stream(forever),
            "/t.T/Refuses": stream(refuses),
            "/t.T/Told": unary(told),
        }.get(details.method)


def slow(_, context):
    context.add_callback(lambda: _ended.put("ended"))
    time.sleep(3)
    return b"too late"


def forever(_, context):
    over = threading.Event()
    context.add_callback(lambda: (_ended.put("ended"), over.set()))
    yield b"first"
    over.wait(CASE)


def refuses(many, context):
    next(many)
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def told(one, context):
    context.send_initial_metadata((("x-first", "1"), ("x-bytes-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-last", "2"),))
    return dict(context.invocation_metadata())["x-asked"].encode()


@contextlib.contextmanager
def serve(tools, folder):
    server = grpc.server(futures.ThreadPoolExecutor(32), options=[
        ("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Kinds(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Server(port, ("--upstream-http2",))
    finally:
        server.stop(0)


def ready(address):
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(address) as channel:
        return channel.unary_unary("/t.T/Unary")(b"", timeout=CASE)


def cases(tools, folder, address, direct):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        for check in [unary, answers, requests, both, large, ping_pong, metadata, unimplemented,
                      early_refusal, deadline, cancel, hundred_at_once]:
            yield f"grpcio: {check.__doc__}", tried(check, channel)


def unary(channel):
    """unary"""
    assert channel.unary_unary("/t.T/Unary")(b"one", timeout=CASE) == b"re: one"


def answers(channel):
    """a stream of answers"""
    seen = list(channel.unary_stream("/t.T/Answers")(b"n", timeout=CASE))
    assert seen == [b"n%d" % number for number in range(10)]


def requests(channel):
    """a stream of requests"""
    call = channel.stream_unary("/t.T/Requests")
    assert call(iter([b"a", b"b", b"c"]), timeout=CASE) == b"a,b,c"


def both(channel):
    """streams both ways"""
    seen = channel.stream_stream("/t.T/Both")(iter([b"%d" % at for at in range(1000)]), timeout=CASE)
    assert list(seen) == [b"re: %d" % at for at in range(1000)]


def large(channel):
    """16 MB there and back"""
    one = bytes(16_000_000)
    assert channel.unary_unary("/t.T/Unary")(one, timeout=CASE) == b"re: " + one


def ping_pong(channel):
    """ping-pong"""
    answered = queue.Queue()

    def asked():
        yield b"0"
        for at in range(1, 100):
            assert answered.get(timeout=CASE) == b"re: %d" % (at - 1)
            yield b"%d" % at

    call = channel.stream_stream("/t.T/Both")(asked(), timeout=CASE)
    count = 0
    for one in call:
        answered.put(one)
        count += 1
    assert count == 100 and call.code() == grpc.StatusCode.OK


def metadata(channel):
    """metadata before and after"""
    answer, call = channel.unary_unary("/t.T/Told").with_call(
        b"", metadata=(("x-asked", "yes"),), timeout=CASE)
    first = dict(call.initial_metadata())
    assert answer == b"yes" and first["x-first"] == "1" and first["x-bytes-bin"] == b"\x00\xff"
    assert dict(call.trailing_metadata())["x-last"] == "2"


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def unimplemented(channel):
    """an unknown method"""
    code = code_of(lambda: channel.unary_unary("/t.T/Nothing")(b"", timeout=CASE))
    assert code == grpc.StatusCode.UNIMPLEMENTED, code


def early_refusal(channel):
    """a refusal before the requests end"""
    goes_on = threading.Event()

    def asked():
        yield b"one"
        goes_on.wait(CASE)

    code = code_of(lambda: next(channel.stream_stream("/t.T/Refuses")(asked(), timeout=CASE)))
    goes_on.set()
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED, code


def deadline(channel):
    """a deadline"""
    forget()
    code = code_of(lambda: channel.unary_unary("/t.T/Slow")(b"", timeout=0.5))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED, code
    assert _ended.get(timeout=CASE) == "ended"


def cancel(channel):
    """a cancelled call ends at the server"""
    forget()
    goes_on = threading.Event()

    def asked():
        goes_on.wait(CASE)
        return
        yield

    call = channel.stream_stream("/t.T/Forever")(asked(), timeout=CASE)
    assert next(call) == b"first"
    call.cancel()
    goes_on.set()
    assert _ended.get(timeout=CASE) == "ended"


def hundred_at_once(channel):
    """100 calls at once"""
    calls = [channel.unary_unary("/t.T/Unary").future(b"%d" % at, timeout=CASE) for at in range(100)]
    assert [call.result() for call in calls] == [b"re: %d" % at for at in range(100)]


def forget():
    while not _ended.empty():
        _ended.get()
