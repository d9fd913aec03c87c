"""Webhooks: signed as the `standardwebhooks` package, which none of us wrote,
expects; tried again until the receiver takes them; replayed on request; and never
sent to where only the control plane can reach.
"""

import json
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from control_plane import control_plane, until
from identity import Endpoint


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent; refuses as often as it is told to."""

    got: list = []
    refusals = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Receiver.got.append((dict(self.headers), body))
        refuse = Receiver.refusals > 0
        Receiver.refusals -= refuse
        self.send_response(500 if refuse else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(
        tmp_path_factory.mktemp("control-plane"),
        ARMOUR_EGRESS_ALLOW_WEBHOOKS="127.0.0.0/8",
        ARMOUR_WEBHOOK_RETRY_MS="100",
        ARMOUR_ENDPOINT_LOST_AFTER="1",
    ) as plane:
        yield plane


@pytest.fixture(scope="module")
def world(plane):
    """A tenant with a pair and an endpoint on each side."""
    admin = plane.tenant("hooks")["token"]
    parties = {
        role: plane.call("POST", f"/v1/{role}s", admin, {"name": role})["id"]
        for role in ["consumer", "producer"]
    }
    pair = plane.call("POST", "/v1/pairs", admin, {
        "consumer_id": parties["consumer"], "producer_id": parties["producer"]})
    endpoints = {}
    for role, party in parties.items():
        token = plane.call("POST", "/v1/enrolment-tokens", admin,
                           {"role": role, "party_id": party})["token"]
        address = "http://127.0.0.1:9" if role == "producer" else None
        endpoints[role] = Endpoint(plane.base, token, role, address)
    return admin, pair["id"], endpoints


def told(kind: str):
    return [(headers, json.loads(body)) for headers, body in Receiver.got
            if json.loads(body)["type"] == kind]


def test_a_disconnect_is_told_signed_retried_and_replayed(plane, world, receiver):
    admin, pair, _ = world
    made = plane.call("POST", "/v1/webhooks", admin, {
        "url": receiver, "kinds": ["pair.disconnected", "pair.re-armed"]})
    hook, secret = made["webhook"]["id"], made["secret"]
    Receiver.refusals = 2
    plane.call("POST", f"/v1/pairs/{pair}/disconnect", admin, {"reason": "test"})
    until("three attempts", lambda: len(told("pair.disconnected")) == 3)
    verifier = Webhook(secret)
    attempts = [got for got in Receiver.got if json.loads(got[1])["type"] == "pair.disconnected"]
    for headers, body in attempts:
        event = verifier.verify(body, {k.lower(): v for k, v in headers.items()})
        assert event["data"]["event"]["pair_id"] == pair
    assert len({headers["webhook-id"] for headers, _ in attempts}) == 1
    headers, body = attempts[0]
    with pytest.raises(WebhookVerificationError):
        verifier.verify(body.replace(b"test", b"best"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "AAAA" * 11).verify(body, headers)

    def delivered():
        page = plane.call("GET", f"/v1/webhooks/{hook}/deliveries", admin)
        return page["items"][0] if page["items"][0]["state"] == "delivered" else None

    delivery = until("delivered", delivered)
    assert delivery["attempts"] == 3 and delivery["last_status"] == 204
    plane.call("POST", f"/v1/webhooks/{hook}/deliveries/{delivery['id']}/replay", admin, {})
    until("the replay", lambda: len(told("pair.disconnected")) == 4)
    ids = {headers["webhook-id"] for headers, _ in told("pair.disconnected")}
    assert len(ids) == 1, "a replay is recognised as the same message"
    # What it did not ask for it is not told.
    assert {json.loads(body)["type"] for _, body in Receiver.got} == {"pair.disconnected"}
    plane.call("POST", f"/v1/pairs/{pair}/re-arm", admin, {"reason": "test"})
    until("the re-arming", lambda: told("pair.re-armed"))
    plane.call("DELETE", f"/v1/webhooks/{hook}", admin)


def test_a_silent_endpoint_is_told_of_once_and_its_return_too(plane, world, receiver):
    admin, _, endpoints = world
    hook = plane.call("POST", "/v1/webhooks", admin, {
        "url": receiver, "kinds": ["endpoint.lost", "endpoint.back"]})["webhook"]["id"]
    consumer, producer = endpoints["consumer"], endpoints["producer"]

    def of(kind, endpoint):
        return [event for _, event in told(kind)
                if event["data"]["event"]["endpoint_id"] == endpoint.endpoint["id"]]

    for endpoint in endpoints.values():
        endpoint.heartbeat()
    until("the losses", lambda: all(of("endpoint.lost", one) for one in endpoints.values()))
    listed = plane.call("GET", f"/v1/endpoints/{consumer.endpoint['id']}", admin)
    assert listed["lost_at"]
    # A later round finds the other one silent once more, and this one not again.
    producer.heartbeat()
    until("another loss", lambda: len(of("endpoint.lost", producer)) == 2)
    assert len(of("endpoint.lost", consumer)) == 1
    returns = len(of("endpoint.back", consumer))
    consumer.heartbeat()
    until("the return", lambda: len(of("endpoint.back", consumer)) > returns)
    plane.call("DELETE", f"/v1/webhooks/{hook}", admin)


def test_only_public_receivers_are_told(tmp_path):
    with control_plane(tmp_path) as plane:
        admin = plane.tenant("careful")["token"]
        for url in [
            "http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3/",
            "https://169.254.169.254/latest/meta-data/", "https://2130706433/",
            "https://user@example.com/", "file:///etc/passwd", "https://[::ffff:127.0.0.1]/",
        ]:
            with pytest.raises(urllib.error.HTTPError) as refused:
                plane.call("POST", "/v1/webhooks", admin, {"url": url, "kinds": ["*"]})
            assert refused.value.code == 400, url
        # A name is looked up with each attempt, and what it leads to is checked then.
        hook = plane.call("POST", "/v1/webhooks", admin, {
            "url": "https://localhost:9/", "kinds": ["*"]})["webhook"]["id"]
        plane.call("POST", "/v1/consumers", admin, {"name": "x"})
        pair = {"consumer_id": plane.call("POST", "/v1/consumers", admin, {"name": "c"})["id"],
                "producer_id": plane.call("POST", "/v1/producers", admin, {"name": "p"})["id"]}
        plane.call("POST", "/v1/pairs", admin, pair)

        def error():
            page = plane.call("GET", f"/v1/webhooks/{hook}/deliveries", admin)
            return page["items"] and page["items"][0]["last_error"]

        assert "no public address" in until("an attempt", error)
