"""What operators ask of every mesh, on running agents: access logs, a permissive mode, a proxy on
the way out, and a support bundle without secrets.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
import requests

from agents import AGENT, agents, served, wait_for_port
from control_plane import PATIENCE, ROOT, control_plane, free_port, until
from test_interop import Authority, Echo, running

ARMOUR = ROOT / "target/debug/armour"


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def of_path(file: Path, path: str) -> dict | None:
    return next((line for line in lines(file) if line.get("url.path") == path), None)


def test_access_logs_of_both_agents_tell_the_same_call(plane, tmp_path):
    logs = [tmp_path / "consumer.log", tmp_path / "producer.log"]
    with running(Echo) as upstream, agents(plane, tmp_path / "a") as made:
        made.producer("--upstream", f"http://127.0.0.1:{upstream}", "--access-log", logs[1])
        consumer, base = made.consumer("--access-log", logs[0])
        served(f"http://{base}/")
        secrets = {"authorization": "Bearer hidden", "cookie": "session=hidden",
                   "x-request-id": "request-7"}
        answer = requests.post(f"http://{base}/items/7?key=hidden", b"12345", headers=secrets,
                               timeout=PATIENCE)
        assert answer.ok
        found = [until(str(log), lambda: of_path(log, "/items/7")) for log in logs]
        same = ["armour.pair.id", "armour.bundle.id", "armour.lane", "armour.ticket"]
        for name in [*same, "http.response.body.size"]:
            assert found[0][name] == found[1][name], name
        for line, side in zip(found, ["consumer", "producer"]):
            told = {"armour.side": side, "armour.protected": True, "armour.ended": "whole",
                    "http.request.method": "POST", "http.response.status_code": 200,
                    "http.request.body.size": 5, "http.response.body.size": len(answer.content),
                    "armour.upstream.status_code": 200, "http.request.resend_count": 0,
                    "http.request.header.x-request-id": ["request-7"]}
            assert told.items() <= line.items(), line
            assert line["http.server.request.duration"] >= line["armour.upstream.duration"] > 0
        peers = {one["role"]: one["id"] for one in made.tenant.get("/v1/endpoints")["items"]}
        assert found[0]["armour.peer.endpoint.id"] == peers["producer"]
        assert found[1]["armour.peer.endpoint.id"] == peers["consumer"]
        for log in logs:
            assert "hidden" not in log.read_text()
        # As logrotate does it.
        rotated = tmp_path / "consumer.log.1"
        logs[0].rename(rotated)
        consumer.hang_up()
        until("another file", logs[0].exists)
        assert requests.get(f"http://{base}/later", timeout=PATIENCE).ok
        until("a line", lambda: of_path(logs[0], "/later"))
        assert of_path(rotated, "/items/7") and consumer.process.poll() is None


def test_refusals_are_logged_though_nothing_is_sampled_and_fields_are_chosen(plane, tmp_path):
    log = tmp_path / "access.log"
    closed = free_port()
    with agents(plane, tmp_path / "a") as made:
        made.producer("--upstream", f"http://127.0.0.1:{closed}", "--upstream-check", "off")
        _, base = made.consumer("--access-log", log, "--access-log-sample", 0, "--retry-for", 1,
                                "--access-log-fields", "url.path,error.type,armour.ran")

        def refused():
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://{base}/refused", timeout=PATIENCE)
            return [line for line in lines(log) if line.get("error.type") == "upstream"]

        line = until("a refusal by the upstream", refused)[0]
        assert line == {"url.path": "/refused", "error.type": "upstream", "armour.ran": "no"}


def test_an_unknown_field_is_refused_with_the_list(tmp_path):
    done = subprocess.run([AGENT, "consumer", "--control-plane", "http://127.0.0.1:9", "--data-dir",
                           tmp_path, "--access-log-fields", "authorization"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and "http.response.status_code" in done.stderr, done


def test_a_permissive_agent_passes_on_what_is_plain_and_says_so(plane, tmp_path):
    health, log = free_port(), tmp_path / "access.log"
    with running(Echo) as upstream, agents(plane, tmp_path / "a") as made:
        strict = f"http://127.0.0.1:{upstream}"
        agent, port = made.producer("--upstream", strict, "--permissive", "--access-log", log,
                                    "--health-listen", f"127.0.0.1:{health}")
        _, base = made.consumer()
        claims = {"armour-protection": "full", "armour_protection": "full"}
        protected = served(f"http://{base}/protected", headers=claims).json()
        assert not [name for name in protected["headers"] if "protection" in name.lower()]
        plain = requests.get(f"http://127.0.0.1:{port}/plain", headers=claims, timeout=PATIENCE)
        told = {name.lower(): value for name, value in plain.json()["headers"].items()}
        assert told["armour-protection"] == "none" and "armour_protection" not in told
        # What claims to be protected is not passed on.
        for path, fields in [("/armour/v2/exchange", {}), ("/armour/x", {}),
                             ("/plain", {"armour-bundle": "x"})]:
            answer = requests.post(f"http://127.0.0.1:{port}{path}", b"x" * 300, headers=fields,
                                   timeout=PATIENCE)
            assert answer.status_code in (400, 404, 410) and "urn:armour:problem" in answer.text
        line = until("a line", lambda: of_path(log, "/plain"))
        assert line["armour.protected"] is False and line["http.response.status_code"] == 200
        assert "PERMISSIVE MODE" in agent.log() and "would be refused" in agent.log()
        metrics = requests.get(f"http://127.0.0.1:{health}/metrics", timeout=PATIENCE).text
        values = {line.split("{")[0].split(" ")[0]: line.rsplit(" ", 1)[1]
                  for line in metrics.splitlines() if line.startswith("armour_agent_p")}
        assert values["armour_agent_plain_calls_total"] == "1"
        assert values["armour_agent_permissive"] == "1"
        ready = until("readiness", lambda: requests.get(f"http://127.0.0.1:{health}/ready",
                                                        timeout=PATIENCE).text)
        assert "permissive" in ready
        (tmp_path / "token").write_text(made.tenant.token)

        def armour(*arguments):
            command = [ARMOUR, "--server", plane.base, "--token-file", tmp_path / "token", *arguments]
            environment = {**os.environ, "ARMOUR_CONFIG": str(tmp_path / "none")}
            return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE,
                                  env=environment).stdout

        until("the list", lambda: "active, permissive" in armour("endpoints", "list"))
        found = armour("doctor", "--agent", f"127.0.0.1:{health}")
        assert "warning  permissive agents" in found and "warning  agent " in found, found


def test_an_agent_that_is_not_permissive_refuses_what_is_plain(plane, tmp_path):
    with running(Echo) as upstream, agents(plane, tmp_path / "a") as made:
        _, port = made.producer("--upstream", f"http://127.0.0.1:{upstream}")
        _, base = made.consumer()
        served(f"http://{base}/")
        answer = requests.get(f"http://127.0.0.1:{port}/plain", timeout=PATIENCE)
        assert answer.status_code == 404 and "not-found" in answer.text


class Proxy(socketserver.BaseRequestHandler):
    """Takes CONNECT alone, and notes who was asked for."""

    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.request.recv(4096)
            if not piece:
                return
            head += piece
        method, target = head.split()[:2]
        self.server.asked.append((method.decode(), target.decode()))
        if method != b"CONNECT":
            self.request.sendall(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            return
        host, port = target.decode().rsplit(":", 1)
        with socket.create_connection((host, int(port)), PATIENCE) as there:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.carry, args=(there, self.request), daemon=True)
            back.start()
            self.carry(self.request, there)
            back.join()

    @staticmethod
    def carry(source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)


class ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Proxy)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_agents_reach_the_control_plane_through_a_proxy_and_producers_without(tmp_path):
    authority = Authority(tmp_path)
    chain, key = authority.certificate("control-plane")
    (tmp_path / "plane").mkdir()
    tls = {"ARMOUR_TLS_CERT_FILE": str(chain), "ARMOUR_TLS_KEY_FILE": str(key)}
    proxy = ProxyServer()
    through = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_address[1]}",
               "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    with (running(Echo) as upstream, control_plane(tmp_path / "plane", authority.file, **tls) as plane,
          agents(plane, tmp_path / "a") as made):
        trust = ["--tls-ca-file", authority.file]
        made.producer("--upstream", f"http://127.0.0.1:{upstream}", *trust, **through)
        _, base = made.consumer(*trust, **through)
        # Neither the producer, over plain HTTP, nor the upstream is called through a proxy.
        assert served(f"http://{base}/x").json()["path"] == "/x"
        host = plane.base.removeprefix("https://")
        assert set(proxy.asked) == {("CONNECT", host)}, set(proxy.asked)
    proxy.shutdown()


def secrets_of(data: Path) -> list[bytes]:
    """Each secret of an `armour dev`, in the forms that it could be shown in."""
    files = [data / "platform-token", data / "operator-token", data / "consumer-enrolment",
             data / "producer-enrolment", *(data / "master-keys").iterdir(),
             data / "consumer/keys", data / "producer/keys"]
    forms = []
    for file in files:
        secret = file.read_bytes().strip()
        assert len(secret) >= 32, file
        forms += [secret, base64.b64encode(secret).rstrip(b"="), secret.hex().encode()]
        if b"_" in secret:
            forms.append(secret.rsplit(b"_", 1)[1])
    # The seeds within the keys' files, wherever they begin.
    for file in files[-2:]:
        secret = file.read_bytes()
        forms += [secret[at:at + 24] for at in range(0, len(secret) - 24, 8)]
    return forms


def test_a_support_bundle_of_armour_dev_has_no_secret_of_it(tmp_path):
    names = ["listen", "consumer", "producer", "upstream-port", "postgres-port"]
    ports = {name: free_port() for name in names}
    arguments = [f"--{name}={port if name.endswith('port') else f'127.0.0.1:{port}'}"
                 for name, port in ports.items()]
    data = tmp_path / "data"
    environment = {**os.environ, "ARMOUR_DATA_DIR": str(data), "ARMOUR_CONFIG": str(tmp_path / "none"),
                   "HTTPS_PROXY": "http://somebody:hidden-password@127.0.0.1:9"}
    tmp_path.chmod(0o711)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    log = tmp_path / "dev.log"
    dev = subprocess.Popen([ARMOUR, "dev", *arguments], cwd=ROOT, env=environment,
                           stdout=open(log, "wb"), stderr=subprocess.STDOUT)
    try:
        wait_for_port(ports["consumer"])
        served(f"http://127.0.0.1:{ports['consumer']}/")
        forms = secrets_of(data)
        # Somebody has put tokens into a log.
        leaky = tmp_path / "leaky.log"
        tokens = [(data / name).read_text().strip() for name in
                  ["operator-token", "platform-token", "consumer-enrolment"]]
        leaky.write_text("".join(f"started with {token}, went on\n" for token in tokens))
        file = tmp_path / "bundle.tar.gz"
        done = subprocess.run(
            [ARMOUR, "support-bundle", file, "--agent-data", data / "consumer", "--agent-data",
             data / "producer", "--log", log, "--log", leaky, "--agent", "127.0.0.1:9"],
            env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and done.stdout.strip() == str(file), done
        assert "doctor" in done.stderr and file.stat().st_mode & 0o777 == 0o600
        with tarfile.open(file) as archive:
            texts = {member.name.split("/", 1)[1]: archive.extractfile(member).read()
                     for member in archive.getmembers()}
        for name in ["doctor.txt", "doctor.json", "versions.json", "configuration.json",
                     "tenant/pairs.json", "tenant/endpoints.json", "tenant/audit.json",
                     "control-plane/ready.json", "platform/system.json", "missing.txt"]:
            assert texts[name] or name == "missing.txt", sorted(texts)
        assert any(name.endswith("/endpoint.json") for name in texts), sorted(texts)
        # What could not be had is listed.
        assert b"127.0.0.1_9/ready.txt" in texts["missing.txt"]
        everything = b"\n".join(texts.values())
        for secret in [*forms, b"hidden-password"]:
            assert secret not in everything, secret
        assert everything.count(b"started with [redacted], went on") == 3
        again = subprocess.run([ARMOUR, "support-bundle", file], env=environment, capture_output=True,
                               text=True, timeout=PATIENCE)
        assert again.returncode == 1, "it would be replaced"
    finally:
        dev.send_signal(signal.SIGINT)
        try:
            dev.wait(60)
        finally:
            dev.kill()
