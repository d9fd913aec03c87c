"""The agents' outer edges: bytes that a caller or an API sends, and those that reach the other
side of two agents. curl and raw sockets before them, an API made of bytes behind them.
"""

import contextlib
import subprocess

import pytest

from agents import agents, served
from control_plane import PATIENCE, control_plane, until
from raw_http import OK, RawApi, ask, fields, problem, status


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


class Edges:
    """Two agents before an API made of bytes."""

    def __init__(self, api: RawApi, plane, producer: int, consumer: str):
        self.api, self.consumer = api, consumer
        self.listeners = {
            "consumer": consumer,
            "producer": f"127.0.0.1:{producer}",
            "control plane": plane.base.removeprefix("http://"),
        }

    def send(self, method="GET", target="/", *more: str, host="Host: shop.example", body=b"",
             to=None, version="1.1", **options) -> bytes:
        """The answer to a request of these fields."""
        lines = [f"{method} {target} HTTP/{version}", *([host] if host else []), *more]
        if not any(line.lower().startswith("connection:") for line in lines):
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode()
        return ask(to or self.consumer, head + body, **options)

    def seen(self, *arguments, **options) -> bytes:
        """What the API sees of a request, which it answers."""
        answer = self.send(*arguments, **options)
        assert status(answer) == 200, answer
        return self.api.asked()

    def refused(self, *arguments, **options) -> tuple[int, str]:
        """The status and the name of a refusal."""
        answer = self.send(*arguments, **options)
        return status(answer), problem(answer)


@contextlib.contextmanager
def edges(plane, folder, *producer: str, consumer=(), path="", policy=None):
    api = RawApi()
    with agents(plane, folder, policy) as made:
        _, port = made.producer("--upstream", api.base + path, *producer)
        _, base = made.consumer(*consumer)
        served(f"http://{base}/ready")
        yield Edges(api, plane, port, base)


@pytest.fixture(scope="module")
def edge(plane, tmp_path_factory):
    with edges(plane, tmp_path_factory.mktemp("edges")) as made:
        yield made


def curl(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *arguments],
                          capture_output=True, text=True)


BOTH = pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])


def test_an_answer_that_breaks_off_is_an_error_at_once_and_costs_no_lane(edge):
    cuts = {
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40,
        "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "/head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "/nothing": b"",
    }
    for target, cut in cuts.items():
        edge.api.answers[target] = lambda connection, cut=cut: connection.sendall(cut)
        # More than a pair has lanes to begin with.
        for _ in range(20):
            # A slow machine may see the beginning before it breaks off.
            begun = [(200, "")] if target in ["/length", "/chunks"] else []
            assert edge.refused("POST", target) in [(502, "upstream"), *begun], target
            edge.api.asked()
    edge.seen()


def test_cookies_of_several_fields_reach_the_api_as_one(edge):
    done = curl("--http2-prior-knowledge", "-H", "cookie: a=b", "-H", "cookie: c=d",
                f"http://{edge.consumer}/")
    assert done.stdout == "ok", done
    assert fields(edge.api.asked())["cookie"] == ["a=b; c=d"]


def test_an_offer_of_an_upgrade_is_ignored(edge):
    done = curl("--http2", "-w", " %{http_code} %{http_version}", f"http://{edge.consumer}/")
    assert done.stdout == "ok 200 1.1", done
    # As Java's HttpClient offers it.
    for offer in ["Upgrade: h2c", "Upgrade: TLS/1.0"]:
        edge.api.asked()
        edge.send("GET", "/", "Connection: Upgrade, HTTP2-Settings, close", offer,
                  "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")
    seen = fields(edge.api.asked())
    assert not seen.keys() & {"upgrade", "http2-settings", "connection"}, seen


JAVA = """
import java.net.URI;
import java.net.http.*;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.print(answer.statusCode() + " " + answer.body());
    }
}
"""


def test_javas_client_is_served_though_it_offers_an_upgrade(edge, tmp_path):
    (tmp_path / "Ask.java").write_text(JAVA)
    done = subprocess.run(["java", tmp_path / "Ask.java", f"http://{edge.consumer}/java"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "200 ok", done
    assert edge.api.asked().startswith(b"GET /java ")


def test_field_names_are_in_title_case_where_that_is_set(plane, tmp_path):
    option = "--title-case-fields"
    with edges(plane, tmp_path / "a", option, consumer=[option]) as edge:
        edge.api.answers["/"] = OK.replace(b"\r\n\r\n", b"\r\nx-two-parts: 1\r\n\r\n")
        answer = edge.send("GET", "/", "x-two-parts: 1")
        assert b"\r\nX-Two-Parts: 1\r\n" in answer, answer
        seen = edge.api.asked()
        assert b"\r\nX-Two-Parts: 1" in seen and b"\r\nHost: " in seen, seen


def many(name: str, count: int, value: str) -> list[str]:
    return [f"{name}-{number}: {value}" for number in range(count)]


# Fields to the limit: their number, and their bytes.
CARRIED = {"150": many("x", 150, "v"), "490": many("x", 490, "v"),
           "60 KiB": many("x", 60, "v" * 1000)}
BEYOND = {"501": many("x", 501, "v"), "800": many("x", 800, "v"),
          "65 KiB": many("x", 65, "v" * 1020), "150 KiB": many("x", 150, "v" * 1000)}


@BOTH
def test_fields_of_a_request_are_carried_to_the_limit_and_refused_beyond_it(edge, version):
    def send(sent):
        given = [part for field in sent for part in ("-H", field)]
        return curl(version, "-i", *given, f"http://{edge.consumer}/")

    for name, sent in CARRIED.items():
        done = send(sent)
        assert " 200" in done.stdout.split("\n")[0], (name, done)
        assert {field.split(":")[0] for field in sent} <= fields(edge.api.asked()).keys()
    for name, sent in BEYOND.items():
        # curl itself sends no more than 64 KiB of fields over HTTP/2.
        if version != "--http1.1" and "KiB" in name:
            continue
        done = send(sent)
        assert " 431" in done.stdout.split("\n")[0], (name, done)
        assert "urn:armour:problem:fields-too-large" in done.stdout, (name, done)


def test_every_listener_refuses_too_many_fields_and_says_why(edge):
    for name, listener in edge.listeners.items():
        for sent in BEYOND.values():
            assert edge.refused("GET", "/", *sent, to=listener) == (431, "fields-too-large"), name


@BOTH
def test_fields_of_an_answer_are_carried_to_the_limit_and_refused_beyond_it(edge, version):
    cookies = [f"Set-Cookie: a{number}=b" for number in range(150)]
    for sent, carried in [(cookies, True), *((sent, True) for sent in CARRIED.values()),
                          *((sent, False) for sent in BEYOND.values()),
                          (many("x", 2000, "v"), False)]:
        head = "\r\n".join(["HTTP/1.1 200 OK", *sent, "Content-Length: 2", "", ""])
        edge.api.answers["/fields"] = head.encode() + b"ok"
        done = curl(version, "-i", f"http://{edge.consumer}/fields")
        edge.api.asked()
        if carried:
            assert all(field.lower() in done.stdout.lower() for field in sent), done
        else:
            assert " 502" in done.stdout.split("\n")[0], done
            assert "urn:armour:problem:upstream-response" in done.stdout, done


def test_a_connection_that_the_api_closes_as_it_is_used_again_costs_no_call_that_may_run_twice(
        plane, tmp_path):
    with edges(plane, tmp_path / "a", policy={"retry": "idempotent"}) as edge:
        edge.api.each_connection = 1
        for method in ["GET", "PUT", "DELETE"] * 10:
            edge.seen(method, "/", "Content-Length: 4", body=b"more")


def test_a_caller_that_closes_its_half_gets_its_answer(plane, tmp_path):
    with edges(plane, tmp_path) as edge:
        edge.api.answers["/large"] = (b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"
                                      + b"x" * 3_000_000)
        # The first call opens a lane.
        edge.seen()

        # A slow machine may take longer than such a caller is waited for.
        def answered(*request, length=2, **options):
            answer = edge.send(*request, half_close=True, **options)
            return len(answer.partition(b"\r\n\r\n")[2]) == length

        until("an answer", answered)
        until("a long answer", lambda: answered("GET", "/large", length=3_000_000))
        until("an answer to a body",
              lambda: answered("POST", "/", "Content-Length: 4", body=b"more"))


def test_a_caller_that_closes_its_half_within_its_body_gets_none(edge):
    answer = edge.send("POST", "/", "Content-Length: 10", body=b"more", half_close=True)
    assert not answer or status(answer) == 400, answer


@pytest.mark.parametrize("path", ["", "/base"])
def test_options_of_the_whole_server_are_asked_of_it(plane, tmp_path, path):
    with edges(plane, tmp_path / "a", path=path) as edge:
        assert edge.seen("OPTIONS", "*").startswith(b"OPTIONS * HTTP/1.1\r\n")
        done = curl("--http2-prior-knowledge", "-X", "OPTIONS", "--request-target", "*",
                    f"http://{edge.consumer}")
        assert done.stdout == "ok", done
        assert edge.api.asked().startswith(b"OPTIONS * HTTP/1.1\r\n")
        assert edge.seen("OPTIONS", "/a").startswith(f"OPTIONS {path}/a HTTP/1.1\r\n".encode())


def test_targets_of_another_methods_form_are_refused(edge):
    for listener in edge.listeners.values():
        assert edge.refused("GET", "*", to=listener) == (400, "target")
        assert edge.refused("GET", "shop.example:80", to=listener) == (400, "target")


def test_a_length_beside_chunks_is_not_passed_on(edge):
    length, chunked = "Content-Length: 20", "Transfer-Encoding: chunked"
    for order in [(length, chunked), (chunked, length)]:
        head = "\r\n".join(["HTTP/1.1 200 OK", *order, "", ""])
        edge.api.answers["/both"] = head.encode() + b"2\r\nok\r\n0\r\n\r\n"
        answer = edge.send("GET", "/both")
        assert status(answer) == 200 and answer.endswith(b"ok"), answer
        edge.api.asked()
    seen = edge.seen("POST", "/", chunked, length, body=b"2\r\nok\r\n0\r\n\r\n")
    assert fields(seen).get("content-length") != ["20"], seen


def test_transfer_codings_that_would_be_lost_are_refused(edge):
    coded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    edge.api.answers["/coded"] = coded
    assert edge.refused("GET", "/coded") == (502, "upstream-response")
    edge.api.asked()
    for listener in edge.listeners.values():
        refused = edge.refused("POST", "/", "Transfer-Encoding: gzip, chunked",
                               body=b"2\r\nok\r\n0\r\n\r\n", to=listener)
        assert refused == (501, "transfer-coding")


def test_hosts_that_are_two_none_or_malformed_are_refused(edge):
    for name, listener in edge.listeners.items():
        for host in [None, "Host: a\r\nHost: b", "Host: a b", "Host: a/b", "Host: user@a",
                     "Host: a:b"]:
            assert edge.refused(host=host, to=listener) == (400, "host"), (name, host)


def test_a_host_is_not_needed_in_http_1_0(edge):
    assert "x-forwarded-host" not in fields(edge.seen(host=None, version="1.0"))
    assert "x-forwarded-host" not in fields(edge.seen(host="Host:"))


def test_a_forwarded_host_is_the_callers_host_and_nothing_made_up(edge):
    forged = "X-Forwarded-Host: forged"
    for seen, named in [
        (edge.seen("GET", "/", forged), ["shop.example"]),
        (edge.seen("GET", "/", forged, host=None, version="1.0"), None),
        (edge.seen("GET", "http://user:secret@shop.example/"), ["shop.example"]),
    ]:
        assert fields(seen).get("x-forwarded-host") == named, seen
        assert b"secret" not in seen and b"forged" not in seen, seen


def test_an_upstream_that_does_not_answer_in_time_is_given_up(plane, tmp_path):
    with edges(plane, tmp_path / "a", "--upstream-timeout", "1") as edge:
        # Nothing, until the agent closes.
        edge.api.answers["/silent"] = lambda connection: connection.recv(1)
        for size in [0, 4, 300_000]:
            refused = edge.refused("POST", "/silent", f"Content-Length: {size}", body=b"x" * size)
            assert refused == (504, "upstream-timeout"), size
            edge.api.asked()
        edge.seen()
