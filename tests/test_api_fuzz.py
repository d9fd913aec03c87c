"""Every route of the control plane, fuzzed from its OpenAPI document with
schemathesis, as each kind of caller: no 5xx, and every answer as documented.
Runs below scripts/with-postgres.
"""

import base64
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from dpop import Endpoint

ROOT = Path(__file__).parent.parent
PLATFORM = "platform-token-of-the-fuzz-tests-0123456789"
PORT = 7500
BASE = f"http://127.0.0.1:{PORT}"
EXAMPLES = os.environ.get("ARMOUR_FUZZ_EXAMPLES", "15")


def call(method: str, path: str, token: str, body=None):
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("authorization", f"Bearer {token}")
    data = None
    if body is not None:
        request.add_header("content-type", "application/json")
        data = json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=10) as answer:
        return json.load(answer)


def raw(key) -> str:
    public = key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return base64.b64encode(public).decode()


@pytest.fixture(scope="module")
def callers(tmp_path_factory):
    """A control plane, and a token of each kind of caller."""
    postgres = os.environ.get("ARMOUR_TEST_POSTGRES")
    assert postgres, "run by `make test-python`"
    folder = tmp_path_factory.mktemp("control-plane")
    (folder / "master").write_text("5a" * 32)
    (folder / "platform").write_text(PLATFORM)
    name = f"fuzz_{os.getpid()}"
    subprocess.run(["psql", "-q", postgres, "-c", f"CREATE DATABASE {name}"], check=True)
    environment = {
        **os.environ,
        "ARMOUR_LISTEN": f"127.0.0.1:{PORT}",
        "ARMOUR_DATABASE_URL": postgres.rsplit("/", 1)[0] + "/" + name,
        "ARMOUR_MASTER_KEY_FILE": str(folder / "master"),
        "ARMOUR_PLATFORM_TOKEN_FILE": str(folder / "platform"),
        "ARMOUR_MIGRATE": "true",
        "ARMOUR_RATE_LIMIT": "100000",
    }
    log = open(folder / "log", "wb")
    server = subprocess.Popen(
        [ROOT / "target/debug/armour-control-plane"], env=environment, stderr=log)
    try:
        for _ in range(200):
            try:
                call("GET", "/v1/health/ready", "")
                break
            except OSError:
                time.sleep(0.1)
        admin = call("POST", "/v1/tenants", PLATFORM, {"name": "fuzz"})["token"]
        others = {
            role: call("POST", "/v1/api-tokens", admin, {"name": role, "role": role})["token"]
            for role in ["operator", "auditor"]
        }
        operator = others["operator"]
        parties = {
            role: call("POST", f"/v1/{role}s", operator, {"name": role})["id"]
            for role in ["consumer", "producer"]
        }
        call("POST", "/v1/pairs", operator,
             {"consumer_id": parties["consumer"], "producer_id": parties["producer"]})
        endpoints = {}
        for role, party in parties.items():
            token = call("POST", "/v1/enrolment-tokens", operator,
                         {"role": role, "party_id": party})["token"]
            key = Ed25519PrivateKey.generate()
            enrol = {
                "name": role,
                "signing_key": raw(key),
                "kem_key": raw(X25519PrivateKey.generate()),
                "address": "http://127.0.0.1:9" if role == "producer" else None,
                "version": "0",
            }
            enrolled = call("POST", "/v1/enrol", token, enrol)
            endpoints[role] = {
                "base": BASE,
                "tenant": enrolled["tenant_id"],
                "endpoint": enrolled["id"],
                "key": key.private_bytes_raw().hex(),
            }
        yield {"nobody": "", "platform": PLATFORM, "admin": admin, **others, **endpoints}
        assert server.poll() is None, "the control plane is still there"
        assert b"panicked" not in (folder / "log").read_bytes()
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.parametrize(
    "caller", ["nobody", "platform", "admin", "operator", "auditor", "consumer", "producer"])
def test_no_route_answers_5xx(callers, caller, tmp_path):
    environment = dict(os.environ)
    if isinstance(callers[caller], dict):
        environment["ARMOUR_ENDPOINT"] = json.dumps(callers[caller])
        environment["SCHEMATHESIS_HOOKS"] = "dpop"
        environment["PYTHONPATH"] = str(Path(__file__).parent)
        credentials = []
    else:
        credentials = ["--header", f"authorization: Bearer {callers[caller]}"]
    command = [
        Path(sys.executable).parent / "schemathesis", "run", ROOT / "openapi/openapi.json",
        "--url", BASE,
        "--checks", "not_a_server_error",
        # A stream of events does not end by itself; see below.
        "--exclude-path-regex", "events$",
        *credentials,
        "--max-examples", EXAMPLES,
        "--request-timeout", "10",
        # Python 3.11's parser, which hypothesis calls, fails now and then in threads
        # (python/cpython issue 106905).
        "--workers", "1",
        "--suppress-health-check", "all",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    print(done.stdout[-1500:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("last", ["", "x", "-1", "9" * 40, "1e3", "\xe9"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/endpoint/events"])
def test_streams_refuse_bad_resumption(callers, path, last):
    if "endpoint" in path:
        given = callers["consumer"]
        endpoint = Endpoint(BASE, given["tenant"], given["endpoint"], bytes.fromhex(given["key"]))
        credentials = endpoint.headers("GET", BASE + path)
    else:
        credentials = {"authorization": f"Bearer {callers['operator']}"}
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    connection.request("GET", path, headers={**credentials, "last-event-id": last})
    answer = connection.getresponse()
    assert 400 <= answer.status < 500
    assert answer.getheader("content-type") == "application/problem+json"
    connection.close()
