"""A control plane of the tests' own, on a database of its own, and calls to it.
Runs below scripts/with-postgres.
"""

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "target/debug/armour-control-plane"
# Seconds that anything may take that is waited for, on a machine that has other things to do.
PATIENCE = int(os.environ.get("PATIENCE", 180))
PLATFORM = "platform-token-of-the-python-tests-0123456789"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class ControlPlane:
    def __init__(self, base: str, database: str = "", pid: int = 0, trust=None):
        self.base, self.database, self.pid = base, database, pid
        # Under TLS: whose certificates are believed.
        self.context = ssl.create_default_context(cafile=trust) if trust else None

    def call(self, method: str, path: str, token: str, body=None):
        request = urllib.request.Request(self.base + path, method=method)
        if token:
            request.add_header("authorization", f"Bearer {token}")
        data = None
        if body is not None:
            request.add_header("content-type", "application/json")
            data = json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=PATIENCE, context=self.context) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def tenant(self, name: str) -> dict:
        return self.call("POST", "/v1/tenants", PLATFORM, {"name": name})


def raw(key) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def new_keys(name: str, address: str | None = None):
    """An Ed25519 key, and what to enrol it with."""
    key = Ed25519PrivateKey.generate()
    return key, {
        "name": name,
        "signing_key": raw(key),
        "kem_key": raw(X25519PrivateKey.generate()),
        "address": address,
        "version": "0",
    }


def new_database() -> str:
    """URL of a database of its own, for its owner."""
    postgres = os.environ.get("ARMOUR_TEST_POSTGRES")
    assert postgres, "run by `make test-python`"
    name = f"py_{uuid.uuid4().hex}"
    subprocess.run(["psql", "-q", postgres, "-c", f"CREATE DATABASE {name}"], check=True)
    return postgres.rsplit("/", 1)[0] + "/" + name


def database_urls(owner: str) -> dict[str, str]:
    """How a control plane reaches a database: for the role that serves, and for its owner."""
    return {
        "ARMOUR_DATABASE_URL": owner.replace("//armour@", "//armour_service@"),
        "ARMOUR_DATABASE_OWNER_URL": owner,
    }


@contextlib.contextmanager
def control_plane(folder: Path, trust: Path | None = None, **more: str):
    port = free_port()
    (folder / "master").write_text("5a" * 32)
    (folder / "platform").write_text(PLATFORM)
    environment = {
        **os.environ,
        "ARMOUR_LISTEN": f"127.0.0.1:{port}",
        **database_urls(new_database()),
        "ARMOUR_MASTER_KEY_FILE": str(folder / "master"),
        "ARMOUR_PLATFORM_TOKEN_FILE": str(folder / "platform"),
        "ARMOUR_MIGRATE": "true",
        "ARMOUR_RATE_LIMIT": "100000",
        # The endpoints of these tests that are no agents send few signs of life.
        "ARMOUR_ENDPOINT_LOST_AFTER": "3600",
        **more,
    }
    server = subprocess.Popen(
        [PROGRAM],
        env=environment, stderr=open(folder / "log", "wb"))
    scheme = "https" if trust else "http"
    plane = ControlPlane(f"{scheme}://127.0.0.1:{port}", environment["ARMOUR_DATABASE_OWNER_URL"],
                         server.pid, trust)
    try:
        until("the control plane", lambda: is_ready(plane, server, folder / "log"))
        yield plane
        assert server.poll() is None, "the control plane is still there"
        assert b"panicked" not in (folder / "log").read_bytes()
    finally:
        server.terminate()
        server.wait(PATIENCE)


def is_ready(plane: ControlPlane, server: subprocess.Popen, log: Path) -> bool:
    assert server.poll() is None, log.read_text()
    with contextlib.suppress(OSError):
        plane.call("GET", "/v1/health/ready", "")
        return True
    return False


def until(what: str, done):
    """Waits until `done()` is something; returns that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = done()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")
