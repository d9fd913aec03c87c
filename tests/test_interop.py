"""The agents between clients and servers that none of us wrote: curl, gRPC, git, pip, a
browser, nginx. docs/agent.md tells what each of them shows.
"""

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agents import agents, served, wait_for_port
from control_plane import PATIENCE, ROOT, control_plane, free_port, until


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


def curl(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(["curl", "-sS", "--max-time", "30", *map(str, arguments)],
                          capture_output=True, text=True)


@contextlib.contextmanager
def nginx(folder: Path, http: str):
    """nginx with these directives in its `http` block."""
    folder.mkdir(parents=True, exist_ok=True)
    # Its workers are another user's, who has to reach the files.
    for at in [folder, *folder.parents]:
        if at.owner() == Path.home().owner() and at != Path("/"):
            with contextlib.suppress(PermissionError):
                at.chmod(at.stat().st_mode | 0o055)
    config = folder / "nginx.conf"
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/tmp-{kind};"
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    config.write_text(f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
                      f"events {{}}\nhttp {{ access_log off; {temporary}\n{http}\n}}")
    server = subprocess.Popen(["/usr/sbin/nginx", "-e", folder / "error.log", "-c", config])
    try:
        yield
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextlib.contextmanager
def running(handler):
    """A server in this process, of this handler; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


class Authority:
    """A certificate authority, and certificates of 127.0.0.1 by it."""

    def __init__(self, folder: Path):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "authority.pem"
        made = self.sign("authority", "authority", self.key, authority=True)
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, issuer: str, key, authority: bool):
        named = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)])
                 for one in [name, issuer]]
        now = datetime.datetime.now(datetime.timezone.utc)
        hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        return (
            x509.CertificateBuilder().subject_name(named[0]).issuer_name(named[1])
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=7))
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        made = self.sign(name, "authority", key, authority=False)
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return certificate, private


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked; streams events slowly."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/events"):
            return self.events()
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def events(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(4):
            self.pause()
            text = f"id: {number}\ndata: told\n\n".encode()
            self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def pause(self):
        """Before each event."""
        time.sleep(0.2)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def echo(plane, tmp_path_factory):
    """Agents before a server that says what it was asked."""
    with running(Echo) as upstream, agents(plane, tmp_path_factory.mktemp("echo")) as made:
        made.producer("--upstream", f"http://127.0.0.1:{upstream}")
        _, base = made.consumer()
        served(f"http://{base}/")
        yield base


def test_curl_speaks_http_1_and_2(echo):
    for version, arguments in [("1.0", ["--http1.0"]), ("1.1", ["--http1.1"]),
                               ("2", ["--http2-prior-knowledge"])]:
        done = curl(*arguments, "-w", "\n%{http_version} %{http_code}", f"http://{echo}/a?b=c")
        body, told = done.stdout.rsplit("\n", 1)
        assert json.loads(body)["path"] == "/a?b=c", done
        assert told.split()[1] == "200" and (version == "1.0" or told.split()[0] == version), told


def test_events_pass_one_by_one(plane, tmp_path):
    """The server sends an event only once the client has seen the one before."""
    seen = threading.Semaphore(1)

    class Stepwise(Echo):
        def pause(self):
            assert seen.acquire(timeout=PATIENCE), "the event before is still on its way"

    with running(Stepwise) as upstream, agents(plane, tmp_path / "a") as made:
        made.producer("--upstream", f"http://127.0.0.1:{upstream}")
        _, base = made.consumer()
        served(f"http://{base}/")
        process = subprocess.Popen(["curl", "-sSN", "--max-time", "60", f"http://{base}/events"],
                                   stdout=subprocess.PIPE)
        numbers = []
        for line in process.stdout:
            if line.startswith(b"id"):
                numbers.append(int(line.split()[1]))
                seen.release()
        assert process.wait() == 0 and numbers == [0, 1, 2, 3]


def test_a_browser_loads_a_page_and_its_events(plane, tmp_path):
    """Chromium: a page, its script, and an EventSource."""

    class Page(Echo):
        def do_GET(self):
            if self.path != "/":
                return super().do_GET()
            body = textwrap.dedent("""
                <!doctype html><title>page</title><p id=told>waiting</p><script>
                let seen = [];
                const source = new EventSource("/events");
                source.onmessage = event => {
                    seen.push(event.lastEventId);
                    if (seen.length === 4) {
                        source.close();
                        document.getElementById("told").textContent = "events " + seen.join();
                    }
                };
                </script>""").encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with running(Page) as upstream, agents(plane, tmp_path / "browser") as made:
        made.producer("--upstream", f"http://127.0.0.1:{upstream}")
        _, base = made.consumer()
        served(f"http://{base}/")
        seen = subprocess.run(
            ["/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync",
             f"--user-data-dir={tmp_path}/profile", "--timeout=8000",
             "--virtual-time-budget=20000", "--dump-dom", f"http://{base}/"],
            capture_output=True, text=True, timeout=PATIENCE)
        assert "events 0,1,2,3" in seen.stdout, seen


def test_trailers_pass(plane, tmp_path):
    """nginx's own trailers, over HTTP/1.1 and HTTP/2."""
    port = free_port()
    folder = tmp_path / "trailers"
    (folder / "www").mkdir(parents=True)
    (folder / "www/file").write_text("content " * 1000)
    http = (f"server {{ listen 127.0.0.1:{port}; root {folder}/www; gzip on; gzip_types *;"
            " gzip_min_length 1; add_trailer x-checked yes; add_header trailer x-checked; }")
    with nginx(folder, http), agents(plane, tmp_path / "a") as made:
        made.producer("--upstream", f"http://127.0.0.1:{port}")
        _, base = made.consumer()
        served(f"http://{base}/file")
        direct = curl("-D", "-", "-o", "/dev/null", "--compressed", "-H", "te: trailers",
                      f"http://127.0.0.1:{port}/file")
        assert "x-checked: yes" in direct.stdout.lower(), "nginx itself sends none"
        for version in ["--http1.1", "--http2-prior-knowledge"]:
            done = curl("-D", "-", "-o", "/dev/null", "--compressed", version,
                        "-H", "te: trailers", f"http://{base}/file")
            assert "x-checked: yes" in done.stdout.lower(), (version, done)


class Slow(health_pb2_grpc.HealthServicer):
    """Refuses in gRPC's own way: a status in the trailers, after no message."""

    def Check(self, request, context):
        if request.service == "unknown":
            context.set_trailing_metadata((("x-detail", "told"),))
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    def Watch(self, request, context):
        for _ in range(3):
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
            time.sleep(0.2)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_grpc(plane, tmp_path, tls):
    """gRPC's own client and server: unary calls, a stream of answers, errors in trailers."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(Slow(), server)
    extra = ["--upstream-http2"]
    if tls:
        authority = Authority(tmp_path)
        chain, key = authority.certificate("server")
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        extra = ["--tls-ca-file", authority.file]
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    scheme = "https" if tls else "http"
    with agents(plane, tmp_path / "a") as made:
        made.producer("--upstream", f"{scheme}://127.0.0.1:{port}", *extra)
        consumer, base = made.consumer()
        wait_for_port(int(base.split(":")[1]))
        with grpc.insecure_channel(base) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            ask = health_pb2.HealthCheckRequest(service="s")

            def first():
                try:
                    return stub.Check(ask, timeout=PATIENCE)
                except grpc.RpcError:
                    return None

            assert until("gRPC", first).status == 1, consumer.log()
            for _ in range(20):
                assert stub.Check(ask, timeout=PATIENCE).status == 1
            assert len(list(stub.Watch(ask, timeout=PATIENCE))) == 3
            with pytest.raises(grpc.RpcError) as refused:
                stub.Check(health_pb2.HealthCheckRequest(service="unknown"), timeout=PATIENCE)
            assert refused.value.code() == grpc.StatusCode.NOT_FOUND
            assert refused.value.details() == "no such service"
            assert ("x-detail", "told") in refused.value.trailing_metadata()
    server.stop(0)


def test_git_clones_and_pushes(plane, tmp_path):
    """git's smart HTTP: its own backend behind nginx and fcgiwrap."""
    repository = tmp_path / "srv/repository.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    subprocess.run(["git", "-C", repository, "config", "http.receivepack", "true"], check=True)
    subprocess.run(["git", "-C", repository, "config", "core.hooksPath", "/dev/null"], check=True)
    port, socket_path = free_port(), tmp_path / "fcgi.sock"
    environment = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
                   "GIT_CONFIG_VALUE_0": "*"}
    fcgi = subprocess.Popen(["/usr/sbin/fcgiwrap", "-s", f"unix:{socket_path}"], env=environment)
    until("fcgiwrap", socket_path.exists)
    socket_path.chmod(0o777)
    backend = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip())
    http = f"""server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            fastcgi_pass unix:{socket_path};
            fastcgi_param SCRIPT_FILENAME {backend}/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT {tmp_path}/srv;
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_param REMOTE_USER tester;
        }}
    }}"""
    try:
        with nginx(tmp_path / "nginx", http), agents(plane, tmp_path / "a") as made:
            made.producer("--upstream", f"http://127.0.0.1:{port}")
            _, base = made.consumer()
            served(f"http://{base}/repository.git/info/refs?service=git-upload-pack")

            def git(at, *arguments):
                told = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
                done = subprocess.run(["git", "-C", at, *told, *arguments],
                                      capture_output=True, text=True, timeout=PATIENCE)
                assert done.returncode == 0, done
                return done.stdout

            url = f"http://{base}/repository.git"
            first, second = tmp_path / "first", tmp_path / "second"
            git(tmp_path, "clone", "-q", url, first)
            # More than what is held whole before it is sent on.
            (first / "large").write_bytes(os.urandom(3_000_000))
            git(first, "add", ".")
            git(first, "commit", "-q", "-m", "one")
            git(first, "push", "-q", "origin", "HEAD:main")
            git(tmp_path, "clone", "-q", "-b", "main", url, second)
            assert (second / "large").read_bytes() == (first / "large").read_bytes()
    finally:
        fcgi.terminate()
        fcgi.wait(PATIENCE)


def test_pip_installs_from_a_protected_index(plane, tmp_path):
    """pip from pypiserver, of a package made here."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "armour_sample.py").write_text("ANSWER = 42\n")
    (package / "pyproject.toml").write_text(textwrap.dedent("""
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "armour-sample"
        version = "1.0"
        [tool.setuptools]
        py-modules = ["armour_sample"]
        """))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation",
                    "-w", tmp_path / "wheels", package], check=True)
    port = free_port()
    index = subprocess.Popen([sys.executable, "-m", "pypiserver", "run", "-i", "127.0.0.1",
                              "-p", str(port), "--disable-fallback", tmp_path / "wheels"])
    try:
        wait_for_port(port)
        with agents(plane, tmp_path / "a") as made:
            made.producer("--upstream", f"http://127.0.0.1:{port}")
            _, base = made.consumer()
            served(f"http://{base}/simple/")
            subprocess.run([*pip, "install", "--isolated", "--no-cache-dir", "--no-deps",
                            "--target", tmp_path / "site",
                            "--index-url", f"http://{base}/simple/", "armour-sample"], check=True)
            assert "42" in (tmp_path / "site/armour_sample.py").read_text()
    finally:
        index.terminate()
        index.wait(PATIENCE)


def test_nginx_in_front_of_either_agent(plane, tmp_path):
    """A proxy before the producer's agent, as an ingress is, and one before the consumer's."""
    before_producer, before_consumer = free_port(), free_port()
    with running(Echo) as upstream, agents(plane, tmp_path / "a") as made:
        address = f"http://127.0.0.1:{before_producer}"
        _, port = made.producer("--upstream", f"http://127.0.0.1:{upstream}",
                                "--address", address)
        _, base = made.consumer()
        proxy = """server {{ listen 127.0.0.1:{0}; client_max_body_size 0; location / {{
            proxy_pass http://127.0.0.1:{1}; proxy_http_version 1.1;
            proxy_request_buffering off; proxy_buffering off;
            proxy_set_header Connection ""; proxy_set_header Host $http_host; }} }}\n"""
        http = (proxy.format(before_producer, port)
                + proxy.format(before_consumer, base.split(":")[1]))
        with nginx(tmp_path / "nginx", http):
            answer = served(f"http://127.0.0.1:{before_consumer}/path")
            assert answer.json()["path"] == "/path"
            body = os.urandom(2_000_000)
            sent = requests.post(f"http://127.0.0.1:{before_consumer}/big", body, timeout=PATIENCE)
            assert sent.status_code == 200


def test_tls_everywhere_and_a_renewed_certificate(plane, tmp_path):
    """Application, both agents and upstream under TLS; a certificate is replaced meanwhile."""
    authority = Authority(tmp_path)
    chain, key = authority.certificate("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served_chain, served_key = tmp_path / "served.pem", tmp_path / "served.key"
    shutil.copy(chain, served_chain)
    shutil.copy(key, served_key)
    tls = ["--tls-ca-file", authority.file, "--tls-cert-file", served_chain, "--tls-key-file", served_key]
    with agents(plane, tmp_path / "a") as made:
        made.producer("--upstream", f"https://127.0.0.1:{server.server_port}", *tls)
        consumer, base = made.consumer(*tls)
        answer = served(f"https://{base}/", consumer, verify=str(authority.file))
        assert answer.json()["path"] == "/"
        producer = made.tenant.get("/v1/endpoints")["items"]
        assert any((one["address"] or "").startswith("https://") for one in producer), producer
        h2 = curl("--http2", "--cacert", authority.file, "-o", "/dev/null", "-w", "%{http_version}",
                  f"https://{base}/")
        assert h2.stdout == "2", h2
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"https://{base}/", timeout=PATIENCE)
        other_chain, other_key = authority.certificate("other")
        shutil.copy(other_key, served_key)
        shutil.copy(other_chain, served_chain)

        def renewed():
            host, port = base.split(":")
            shown = ssl.get_server_certificate((host, int(port)))
            return shown.strip() == other_chain.read_text().strip()

        until("the other certificate", renewed)
    server.shutdown()


def test_a_control_plane_under_tls(tmp_path):
    """Agents, the command line and browsers' certificates checks, without a proxy before it."""
    authority = Authority(tmp_path)
    chain, key = authority.certificate("control-plane")
    (tmp_path / "plane").mkdir()
    tls = {"ARMOUR_TLS_CERT_FILE": str(chain), "ARMOUR_TLS_KEY_FILE": str(key)}
    with (running(Echo) as upstream, control_plane(tmp_path / "plane", authority.file, **tls) as plane,
          agents(plane, tmp_path / "a") as made):
        trust = ["--tls-ca-file", authority.file]
        made.producer("--upstream", f"http://127.0.0.1:{upstream}", *trust)
        _, base = made.consumer(*trust)
        assert served(f"http://{base}/x").json()["path"] == "/x"
        (tmp_path / "token").write_text(made.tenant.token)

        def armour(*arguments):
            command = [ROOT / "target/debug/armour", "--server", plane.base, "--token-file",
                       tmp_path / "token", *arguments]
            return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env={
                **os.environ, "ARMOUR_CONFIG": str(tmp_path / "none")})

        assert armour("--ca-file", authority.file, "doctor").returncode == 0
        stranger = armour("doctor")
        assert stranger.returncode == 1 and "--ca-file" in stranger.stdout, stranger
        # HTTP in the clear is no request there.
        assert curl(plane.base.replace("https", "http") + "/v1/health").returncode != 0


def test_several_pairs_and_settings_that_change(plane, tmp_path):
    """One agent, two pairs; settings are changed, broken, mended and changed while it runs."""
    with running(Echo) as upstream, agents(plane, tmp_path / "a") as made:
        tenant = made.tenant
        tenant.add_pair()
        for number in range(2):
            made.producer("--upstream", f"http://127.0.0.1:{upstream}/of-{number}", number=number)
        ports = [free_port() for _ in range(3)]
        settings = tmp_path / "consumer.toml"

        def write(*served):
            settings.write_text("".join(
                f'[[pairs]]\npair = "{tenant.pairs[number]}"\nlisten = "127.0.0.1:{port}"\n'
                for number, port in served))

        def path(port):
            return served(f"http://127.0.0.1:{port}/x").json()["path"]

        def refuses(port):
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        write((0, ports[0]))
        consumer, _ = made.consumer("--config", settings)
        assert path(ports[0]) == "/of-0/x"
        bundles = len(tenant.get("/v1/bundles")["items"])
        write((0, ports[0]), (1, ports[1]))
        assert path(ports[1]) == "/of-1/x"
        # A pair that stays is not disturbed: it draws no bundle anew.
        assert len(tenant.get("/v1/bundles")["items"]) == bundles + 1
        settings.write_text("[[pairs]]\nlisten = 3")
        until("a word of it", lambda: "the settings in use are kept" in consumer.log())
        assert path(ports[0]) == "/of-0/x" and path(ports[1]) == "/of-1/x"
        # An address that is in use for a while.
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", ports[2]))
            taken.listen()
            write((1, ports[2]))
            consumer.hang_up()
            until("a word of it", lambda: "not all settings are in force" in consumer.log())
        assert path(ports[2]) == "/of-1/x"
        until("the first pair's end", lambda: refuses(ports[0]) and refuses(ports[1]))


def test_an_upstream_that_moves(plane, tmp_path):
    """The producer's upstream is replaced without a restart."""
    with running(Echo) as upstream, agents(plane, tmp_path / "a") as made:
        settings = tmp_path / "producer.toml"
        settings.write_text(f'upstream = "http://127.0.0.1:{upstream}/before"\n')
        made.producer("--config", settings)
        _, base = made.consumer()
        assert served(f"http://{base}/x").json()["path"] == "/before/x"
        settings.write_text(f'upstream = "http://127.0.0.1:{upstream}/after"\n')
        until("the other upstream", lambda: requests.get(
            f"http://{base}/x", timeout=PATIENCE).json()["path"] == "/after/x")
