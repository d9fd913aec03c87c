"""A pod enrols by its own identity: a real agent, a token like a Kubernetes
service account's (RS256, projected into a file), and an issuer that publishes its
keys as a cluster does. No Kubernetes runs here; the tokens have its form.
"""

import base64
import json
import subprocess
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from control_plane import PATIENCE, ROOT, control_plane, free_port, new_keys, until
from dpop import b64url


def number(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Cluster:
    """An issuer of service accounts' tokens."""

    def __init__(self):
        self.keys = {"k1": rsa.generate_private_key(65537, 2048)}
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = cluster.answer(self.path)
                self.send_response(200 if body else 404)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str):
        if path == "/.well-known/openid-configuration":
            # As a cluster's API server answers.
            return {
                "issuer": self.url,
                "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
                "jwks_uri": self.url + "/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        if path == "/openid/v1/jwks":
            return {"keys": [
                {"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256",
                 "n": number(key.public_key().public_numbers().n),
                 "e": number(key.public_key().public_numbers().e)}
                for kid, key in self.keys.items()
            ]}
        return None

    def token(self, kid="k1", key=None, alg="RS256", **changes) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": ["armour"],
            "sub": "system:serviceaccount:shop:agent",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "kubernetes.io": {
                "namespace": "shop",
                "pod": {"name": "agent-7d9f", "uid": "0c8e"},
                "serviceaccount": {"name": "agent", "uid": "91ab"},
            },
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": alg, "kid": kid}
        text = ".".join(b64url(json.dumps(part).encode()) for part in [header, claims])
        if alg == "none":
            return text + "."
        signer = key or self.keys[kid]
        signature = signer.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return text + "." + b64url(signature)


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    yield cluster
    cluster.server.shutdown()


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane"),
                       ARMOUR_EGRESS_ALLOW_ISSUERS="127.0.0.0/8") as plane:
        yield plane


@pytest.fixture(scope="module")
def world(plane, cluster):
    made = plane.tenant("pods")
    tenant, admin = made["tenant"]["id"], made["token"]
    party = plane.call("POST", "/v1/producers", admin, {"name": "stock"})["id"]
    issuer = plane.call("POST", "/v1/issuers", admin, {
        "kind": "workload", "name": "cluster", "url": cluster.url, "audience": "armour"})["id"]
    plane.call("POST", f"/v1/issuers/{issuer}/rules", admin, {
        "subject": "system:serviceaccount:shop:*",
        "claims": {"kubernetes.io.serviceaccount.name": "agent"},
        "role": "producer", "party_id": party})
    return tenant, admin, issuer


def refusal(plane, tenant, token) -> int:
    _, enrol = new_keys("pod", "http://127.0.0.1:9")
    try:
        plane.call("POST", f"/v1/enrol/workload/{tenant}", token, enrol)
        return 0
    except urllib.error.HTTPError as error:
        return error.code


def test_an_agent_enrols_without_a_static_secret(plane, cluster, world, tmp_path):
    tenant, admin, issuer = world
    projected = tmp_path / "token"
    projected.write_text(cluster.token())
    log = open(tmp_path / "agent.log", "wb")
    agent = subprocess.Popen([
        ROOT / "target/debug/armour-agent", "producer", "--control-plane", plane.base,
        "--data-dir", tmp_path / "data", "--enrol-identity-file", projected,
        "--tenant", tenant, "--name", "pod", "--listen", f"127.0.0.1:{free_port()}",
        "--upstream", "http://127.0.0.1:9"], stderr=log)
    try:
        def heard():
            listed = plane.call("GET", "/v1/endpoints", admin)["items"]
            return listed and listed[0]

        endpoint = until("the enrolment", heard)
        assert endpoint["role"] == "producer" and endpoint["name"] == "pod"
        entries = plane.call("GET", "/v1/audit?action=endpoint.enrol", admin)["items"]
        assert entries[0]["actor"] == f"workload:{issuer}:system:serviceaccount:shop:agent"
        until("a pinned head", (tmp_path / "data/log-pin.json").exists)
    finally:
        agent.terminate()
        agent.wait(PATIENCE)


def test_what_no_rule_or_issuer_admits_is_refused(plane, cluster, world):
    tenant, admin, _ = world
    stranger = rsa.generate_private_key(65537, 2048)
    now = int(time.time())
    cases = {
        "another audience": (401, cluster.token(aud=["https://kubernetes.default.svc"])),
        "an expired one": (401, cluster.token(exp=now - 120)),
        "one that never expires": (401, cluster.token(exp=None)),
        "not yet valid": (401, cluster.token(nbf=now + 3600)),
        "another issuer": (401, cluster.token(iss="http://127.0.0.1:1")),
        "another key": (401, cluster.token(key=stranger)),
        "an unknown key id": (401, cluster.token(kid="k9", key=stranger)),
        "unsigned": (401, cluster.token(alg="none")),
        "another namespace": (403, cluster.token(sub="system:serviceaccount:other:agent")),
        "another account": (403, cluster.token(
            **{"kubernetes.io": {"serviceaccount": {"name": "default"}}})),
        "garbage": (401, "a.b.c"),
    }
    for name, (expected, token) in cases.items():
        assert refusal(plane, tenant, token) == expected, name
    # Signed with the public key as if that were a shared secret.
    public = base64.b64encode(b"public").decode()
    assert refusal(plane, tenant, cluster.token(alg="HS256")) == 401, public
    # Another tenant does not trust this cluster.
    other = plane.tenant("elsewhere")["tenant"]["id"]
    assert refusal(plane, other, cluster.token()) == 401
    denied = plane.call("GET", "/v1/audit?action=access.deny", admin)["items"]
    assert any(entry["detail"]["why"] == "no rule fits" for entry in denied)


def test_rotated_keys_are_followed(plane, cluster, world):
    tenant, _, _ = world
    cluster.keys["k2"] = rsa.generate_private_key(65537, 2048)
    # Keys are asked for again at most every five seconds.
    until("the new key", lambda: refusal(plane, tenant, cluster.token(kid="k2")) == 0)
