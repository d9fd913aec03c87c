"""The typed clients for Python and TypeScript: generated anew from the API's document,
built, and used on a running control plane.
"""

import os
import subprocess
import sys

import pytest

import clients
from control_plane import PATIENCE, PLATFORM, ROOT, control_plane


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="module")
def built():
    clients.build()


def test_typescript(plane, built):
    done = subprocess.run(
        ["npm", "run", "--silent", "test"], cwd=ROOT / "openapi/typescript", text=True,
        capture_output=True, timeout=PATIENCE,
        env={**os.environ, "ARMOUR_SERVER": plane.base, "ARMOUR_PLATFORM_TOKEN": PLATFORM})
    assert done.returncode == 0 and "pass 6" in done.stdout, done.stdout + done.stderr


def test_python(plane, built, tmp_path):
    """From its wheel alone."""
    wheel = next((ROOT / "openapi/python/dist").glob("armour_client-*.whl"))
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps",
                    "--disable-pip-version-check", "--target", tmp_path / "site", wheel],
                   check=True)
    sys.path.insert(0, str(tmp_path / "site"))
    from armour_client import AuthenticatedClient
    from armour_client.api.consumers import post_consumers
    from armour_client.api.pairs import get_pairs, get_pairs_id, post_pairs
    from armour_client.api.producers import post_producers
    from armour_client.api.tenants import post_tenants
    from armour_client.models import NewNamed, NewPair, NewTenant, PairState, Policy, Problem

    platform = AuthenticatedClient(plane.base, token=PLATFORM)
    made = post_tenants.sync(client=platform, body=NewTenant(name="typed"))
    admin = AuthenticatedClient(plane.base, token=made.token)
    consumer = post_consumers.sync(client=admin, body=NewNamed(name="shop"))
    producer = post_producers.sync(client=admin, body=NewNamed(name="stock"))
    pair = post_pairs.sync(client=admin, body=NewPair(
        consumer_id=consumer.id, producer_id=producer.id, policy=Policy(suite=2)))
    assert pair.state is PairState.ACTIVE and pair.policy.suite == 2
    assert get_pairs_id.sync(pair.id, client=admin) == pair
    assert [one.id for one in get_pairs.sync(client=admin).items] == [pair.id]
    refused = get_pairs.sync(client=AuthenticatedClient(plane.base, token="arm_nobody"))
    assert isinstance(refused, Problem) and refused.status == 401


def test_the_reference_is_served(plane):
    """Swagger UI on the document, under a policy without inline scripts."""
    import requests

    page = requests.get(f"{plane.base}/reference/", timeout=PATIENCE)
    assert page.status_code == 200 and "swagger-ui" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "script-src" not in policy
    shown = subprocess.run(
        ["/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--virtual-time-budget=15000", "--dump-dom",
         f"{plane.base}/reference/"], capture_output=True, text=True, timeout=PATIENCE)
    for seen in ["Armour", "/v1/pairs/{id}/re-arm", "Authorize"]:
        assert seen in shown.stdout, shown.stdout[-2000:]
