"""HTTP clients before Python's http.server: curl, httpx, undici, Java's HttpClient, Chromium."""

import contextlib
import os
import subprocess

import httpx

import browser
import http_api
from http_api import EVENTS, LARGE, TOO_LARGE
from suite import CASE, PASS, Server, answers, failed, in_turns, ran, tried

NAME = "http"
ready = answers
_api = None


@contextlib.contextmanager
def serve(tools, folder):
    global _api
    with http_api.served() as _api:
        yield Server(_api.server_port)


def cases(tools, folder, address, direct):
    base = f"http://{address}"
    yield from curl_cases(folder, base, direct)
    yield from httpx_cases(base, direct)
    yield from undici_cases(tools, base, direct)
    yield from java_cases(tools, base)
    yield "Chromium: page and EventSource", tried(
        browser.shown, folder, f"{base}/page", _api.told, "0,1,2,3,4")


def step():
    _api.seen.put(None)


def curl(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", str(CASE), *map(str, arguments)],
                          capture_output=True, timeout=2 * CASE)


def curl_cases(folder, base, direct):
    body, large = folder / "body", folder / "large"
    body.write_bytes(os.urandom(LARGE))
    large.write_bytes(bytes(TOO_LARGE))
    versions = [("HTTP/1.0", "--http1.0"), ("HTTP/1.1", "--http1.1")]
    if not direct:
        versions.append(("HTTP/2", "--http2-prior-knowledge"))
    for version, option in versions:
        def passes(*arguments, told: bytes):
            done = curl(option, *arguments)
            return PASS if told in done.stdout else failed(str(done))

        def echo():
            done = curl(option, "--data-binary", f"@{body}", f"{base}/echo")
            return PASS if done.stdout == body.read_bytes() else failed(str(done.stderr))

        name = f"curl, {version}: "
        yield name + "GET", tried(lambda: passes(f"{base}/hello", told=b"hello"))
        yield name + "HEAD", tried(lambda: passes("-I", f"{base}/hello", told=b" 200"))
        yield name + "1 MB there and back", tried(echo)
        yield name + "Range", tried(lambda: passes("-r", "2-4", f"{base}/range", told=b"234"))
        if version == "HTTP/1.0":
            continue
        yield name + "early 413", tried(lambda: passes(
            "-w", "%{http_code}", "-H", "expect:", "--data-binary", f"@{large}",
            f"{base}/large", told=b"too large413"))
        yield name + "413 to Expect", tried(lambda: passes(
            "-w", "%{http_code}", "--data-binary", f"@{large}", f"{base}/large",
            told=b"too large413"))
        yield name + "trailers", tried(lambda: passes(
            "-D-", "-H", "te: trailers", f"{base}/trailers", told=b"x-checked: yes"))
        yield name + "103", tried(lambda: hints(option, base))
        yield name + "server-sent events", tried(
            in_turns, ["curl", "-sSN", option, f"{base}/events"], step, EVENTS)
    yield "curl: offer of h2c", tried(lambda: (
        PASS if curl("--http2", f"{base}/hello").stdout == b"hello" else failed("no answer")))


def hints(option: str, base: str) -> str:
    head = curl("-D-", option, f"{base}/hints").stdout.decode()
    links = head.lower().count("link: </")
    seen = [line.split()[1] for line in head.splitlines() if line.startswith("HTTP/")]
    return PASS if seen == ["103", "103", "200"] and links == 2 else failed(str(seen))


def httpx_cases(base, direct):
    """HTTP/2 by prior knowledge; directly, where there is none, HTTP/1.1."""
    options = {"timeout": CASE} if direct else {"http1": False, "http2": True, "timeout": CASE}
    data = os.urandom(LARGE)

    def get(client):
        answer = client.get("/hello")
        assert answer.text == "hello"
        assert direct or answer.http_version == "HTTP/2", answer.http_version

    def parts():
        for at in range(0, LARGE, 10_000):
            yield data[at:at + 10_000]

    def echo(client):
        assert client.post("/echo", content=data).content == data

    def streamed(client):
        assert client.post("/echo", content=parts()).content == data

    def events(client):
        seen = 0
        with client.stream("GET", "/events") as answer:
            for line in answer.iter_lines():
                if line:
                    seen += 1
                    step()
        assert seen == EVENTS, seen

    def early(client):
        assert client.post("/large", content=bytes(TOO_LARGE)).status_code == 413

    for name, check in [("GET", get), ("1 MB there and back", echo), ("chunks", streamed),
                        ("server-sent events", events), ("early 413", early)]:
        with httpx.Client(base_url=base, **options) as client:
            yield f"httpx: {name}", tried(check, client)


def undici_cases(tools, base, direct):
    names = ["fetch", "echo", "streamed", "pipelined", "early413", "hints", "trailers"]
    if not direct:
        names += ["h2c", "h2cEcho"]
    for name in names:
        yield f"undici: {name}", tried(ran, tools.node("client.mjs", base, name), "passed")
    for name in ["fetchEvents", "EventSource"]:
        yield f"undici: {name}", tried(
            in_turns, tools.node("client.mjs", base, name), step, EVENTS)


def java_cases(tools, base):
    for name in ["get", "echo", "streamed", "expectContinue", "concurrent", "early413"]:
        yield f"Java: {name}", tried(ran, tools.java("Client.java", base, name), "passed")
    yield "Java: events", tried(
        in_turns, tools.java("Client.java", base, "events"), step, EVENTS)
