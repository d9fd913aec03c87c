"""An endpoint as the control plane sees it: its access token and a DPoP proof
(RFC 9449) for each request. Written from the RFC, with `cryptography` alone.

Loaded by schemathesis as its hooks when ARMOUR_ENDPOINT names an endpoint.
"""

import base64
import hashlib
import json
import os
import time
import urllib.request
import uuid

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Endpoint(requests.auth.AuthBase):
    """Signs every request that `requests` sends."""

    def __init__(self, base: str, tenant: str, endpoint: str, key: bytes):
        self.base, self.tenant, self.endpoint = base, tenant, endpoint
        self.key = Ed25519PrivateKey.from_private_bytes(key)
        self.token, self.until = "", 0.0

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        header = {
            "typ": "dpop+jwt",
            "alg": "EdDSA",
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64url(public)},
        }
        claims = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": url.split("?")[0].split("#")[0],
            "iat": int(time.time()),
        }
        if token:
            claims["ath"] = b64url(hashlib.sha256(token.encode()).digest())
        text = ".".join(b64url(json.dumps(part).encode()) for part in [header, claims])
        return text + "." + b64url(self.key.sign(text.encode()))

    def access_token(self) -> str:
        if time.monotonic() > self.until:
            url = self.base + "/v1/endpoint/token"
            body = {"tenant_id": self.tenant, "endpoint_id": self.endpoint}
            request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
            request.add_header("content-type", "application/json")
            request.add_header("dpop", self.proof("POST", url))
            with urllib.request.urlopen(request, timeout=180) as answer:
                given = json.load(answer)
            self.token = given["access_token"]
            self.until = time.monotonic() + given["expires_in"] / 2
        return self.token

    def headers(self, method: str, url: str) -> dict[str, str]:
        token = self.access_token()
        return {"authorization": f"DPoP {token}", "dpop": self.proof(method, url, token)}

    def __call__(self, request):
        request.headers.update(self.headers(request.method, request.url))
        return request


if "ARMOUR_ENDPOINT" in os.environ:
    import schemathesis

    given = json.loads(os.environ["ARMOUR_ENDPOINT"])
    caller = Endpoint(given["base"], given["tenant"], given["endpoint"],
                      bytes.fromhex(given["key"]))

    @schemathesis.hook
    def before_call(context, case, kwargs):
        kwargs["auth"] = caller
