"""Several endpoints of one producer: calls are spread over them, and go on when one is killed or
stopped.
"""

import collections
import http.server
import os
import signal
import threading
from concurrent import futures

import pytest
import requests

from agents import agents, served
from control_plane import PATIENCE, control_plane, free_port, until

COUNT = 3


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


class Api:
    """An API that counts which paths it has served."""

    def __init__(self):
        self.seen, self.lock = collections.Counter(), threading.Lock()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                with api.lock:
                    api.seen[self.path] += 1
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def times(self, prefix: str) -> int:
        return sum(count for path, count in self.seen.items() if path.startswith(prefix))


@pytest.fixture
def fleet(plane, tmp_path):
    """Three producers' agents, each before an API of its own, and a consumer's."""
    with agents(plane, tmp_path) as made:
        apis = [made.stack.enter_context(Api()) for _ in range(COUNT)]
        producers = [
            made.start(f"producer-{number}", "producer", made.tenant.producers[0], "--listen",
                       f"127.0.0.1:{free_port()}", "--upstream", api.base)
            for number, api in enumerate(apis)]
        until("all of them", lambda: sum(
            one["role"] == "producer" for one in made.tenant.get("/v1/endpoints")["items"]) == COUNT)
        agent, base = made.consumer()
        served(f"http://{base}/first", agent)
        until("a bundle with each", lambda: len([
            one for one in made.tenant.get("/v1/bundles")["items"]
            if one["state"] == "active"]) == COUNT)
        until("calls to each", lambda: calls(base, "warm", "GET", 20) and all(
            api.times("/warm") for api in apis))
        yield made, apis, producers, base


def calls(base: str, name: str, method: str, count: int) -> list:
    with futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: requests.request(
            method, f"http://{base}/{name}/{n}", timeout=PATIENCE), range(count)))


def twice(apis: list, name: str) -> list:
    seen = sum((api.seen for api in apis), collections.Counter())
    return [path for path, count in seen.items() if path.startswith(f"/{name}/") and count > 1]


def test_calls_are_spread_over_a_producers_endpoints(fleet):
    _, apis, _, base = fleet
    answers = calls(base, "spread", "POST", 150)
    assert {one.status_code for one in answers} == {200}
    assert all(api.times("/spread") > 15 for api in apis), [api.times("/spread") for api in apis]
    assert not twice(apis, "spread")


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_safe_calls_go_on_when_a_producer_does_not(fleet, by):
    made, apis, producers, base = fleet
    os.kill(producers[1].process.pid, by)
    try:
        safe = calls(base, "safe", "GET", 60)
        assert {one.status_code for one in safe} == {200}, [one.text for one in safe]
        before = apis[1].times("/other")
        other = calls(base, "other", "POST", 60)
        assert all(one.status_code == 200 or one.json()["ran"] in ("no", "unknown")
                   for one in other)
        assert apis[1].times("/other") == before
        assert not twice(apis, "other")
    finally:
        if by == signal.SIGSTOP:
            os.kill(producers[1].process.pid, signal.SIGCONT)
    if by == signal.SIGSTOP:
        until("calls to it again", lambda: calls(base, "again", "GET", 20) and apis[1].times("/again"))
    assert made.tenant.get("/v1/collisions")["items"] == []


def test_no_call_fails_when_a_producer_is_asked_to_stop(fleet):
    made, apis, producers, base = fleet
    with futures.ThreadPoolExecutor(1) as pool:
        calling = pool.submit(calls, base, "meanwhile", "POST", 300)
        until("some of them", lambda: apis[0].times("/meanwhile") > 5)
        producers[0].process.terminate()
        answers = calling.result()
    assert {one.status_code for one in answers} == {200}, [one.text for one in answers if not one.ok]
    assert not twice(apis, "meanwhile")
    assert made.tenant.get("/v1/collisions")["items"] == []
