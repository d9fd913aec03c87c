"""`armour party-keys`: the guide's lines do what they say, certificates are what the protocol's
page says (read here by other code), and the signer certifies whom it should and nobody else.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import time
import uuid

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agents import Agent
from control_plane import (
    PATIENCE, PLATFORM, ROOT, control_plane, free_port, new_keys, raw, until,
)

ARMOUR = ROOT / "target/debug/armour"
GUIDE = ROOT / "docs/party-keys.md"
DAY = 24 * 3600


class Tenant:
    def __init__(self, plane, folder):
        made = plane.tenant(f"party keys {uuid.uuid4().hex}")
        self.plane, self.id, self.token = plane, made["tenant"]["id"], made["token"]
        self.party = plane.call("POST", "/v1/producers", self.token, {"name": "stock"})["id"]
        self.folder = folder
        auditor = plane.call("POST", "/v1/api-tokens", self.token,
                             {"name": "signer", "role": "auditor"})
        (folder / "token").write_text(auditor["token"])
        self.environment = {
            **os.environ, "ARMOUR_CONFIG": str(folder / "none"), "HOME": str(folder),
            "ARMOUR_SERVER": plane.base, "ARMOUR_TOKEN_FILE": str(folder / "token"),
            "PATH": f"{ARMOUR.parent}:{os.environ['PATH']}",
        }

    def enrol(self, name="shelf", party=None):
        party = party or self.party
        token = self.plane.call("POST", "/v1/enrolment-tokens", self.token,
                                {"role": "producer", "party_id": party})["token"]
        key, enrol = new_keys(name, "http://127.0.0.1:9")
        endpoint = self.plane.call("POST", "/v1/enrol", token, enrol)
        return endpoint["id"], enrol

    def host_says(self, enrol, name=None):
        folder = self.folder / "keys"
        folder.mkdir(exist_ok=True)
        (folder / (name or uuid.uuid4().hex)).write_text(json.dumps(
            {"signing_key": enrol["signing_key"], "kem_key": enrol["kem_key"]}))

    def run(self, *arguments, fails=False, offline=False):
        environment = {**self.environment, **({"ARMOUR_SERVER": "http://127.0.0.1:9"}
                                              if offline else {})}
        done = subprocess.run(
            [ARMOUR, "--output", "json", "party-keys", *map(str, arguments)], text=True,
            capture_output=True, cwd=self.folder, env=environment, timeout=PATIENCE)
        assert (done.returncode != 0) == fails, done
        return done.stderr if fails else done.stdout

    def json(self, *arguments, **how):
        return json.loads(self.run(*arguments, **how))

    def certifier(self, valid_for="1d"):
        """A party's key, a certifier's that it certified, and the pin."""
        if not (self.folder / "party.pem").exists():
            self.run("create", "party.pem", offline=True)
            self.run("create", "certifier.pem", offline=True)
        public = self.json("public", "certifier.pem", offline=True)["public_key"]
        self.run("certifier", public, "--party-key", "party.pem", "--tenant", self.id, "--party",
                 self.party, "--valid-for", valid_for, "--out", "certifier.json", offline=True)
        return self.json("public", "party.pem", offline=True)["public_key"]

    def sign(self, *more, fails=False):
        return self.run("sign", "--key", "certifier.pem", "--certifier", "certifier.json", *more,
                        fails=fails)

    def read(self, endpoint, pin):
        data = (self.folder / f"certificates/{endpoint}.cert").read_text().strip()
        return certified(base64.b64decode(data, validate=True), self.id, self.party, endpoint, pin)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def tenant(plane, tmp_path):
    return Tenant(plane, tmp_path)


def fields(label: str, *parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(one)) + one for one in (label.encode(), *parts))


def certified(data: bytes, tenant: str, party: str, endpoint: str, pin: str):
    """A producer's endpoint's keys, and until when, as the protocol's page has a certificate."""
    version, through, data = data[0], data[1], data[2:]
    assert version == 2 and len(data) == (185 if not through else 289)
    lengths = [16, 16, 1, 16, 32, 32, 8]
    subject = []
    for length in lengths:
        subject.append(data[:length])
        data = data[length:]
    ids = [uuid.UUID(one).bytes for one in (tenant, party, endpoint)]
    assert subject[:4] == [ids[0], ids[1], b"\2", ids[2]]
    key, not_after = base64.b64decode(pin), int.from_bytes(subject[6])
    if through:
        by, end, signature, data = data[:32], data[32:40], data[40:104], data[104:]
        Ed25519PublicKey.from_public_bytes(key).verify(
            signature, fields("armour/2 party certifier", ids[0], ids[1], by, end))
        key, not_after = by, min(not_after, int.from_bytes(end))
    Ed25519PublicKey.from_public_bytes(key).verify(
        data, fields("armour/2 party endpoint", *subject))
    signing_key, kem_key = [base64.b64encode(one).decode() for one in subject[4:6]]
    return signing_key, kem_key, not_after - time.time()


def test_the_guide_does_what_it_says(tenant):
    endpoint, enrol = tenant.enrol()
    tenant.host_says(enrol)
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line[:2] == "$ "]
    assert len(lines) == 8
    pair = str(uuid.uuid4())
    done = subprocess.run(
        ["bash", "-exo", "pipefail", "-c", "\n".join(lines)], cwd=tenant.folder, text=True,
        capture_output=True, timeout=PATIENCE, env={
            **tenant.environment, "TENANT": tenant.id, "PARTY": tenant.party, "PAIR": pair,
            "ENDPOINT": endpoint, "SIGNING_KEY": enrol["signing_key"],
            "KEM_KEY": enrol["kem_key"]})
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"certified  {endpoint}  until" in done.stdout
    pins = json.loads((tenant.folder / "pins.json").read_text())["pins"]
    assert [set(one) for one in pins] == [{"tenant", "party", "key", "pairs"}]
    assert pins[0]["pairs"] == [pair]
    expected = (enrol["signing_key"], enrol["kem_key"])
    by_hand = base64.b64decode((tenant.folder / "endpoint.cert").read_text().strip(), validate=True)
    *keys, left = certified(by_hand, tenant.id, tenant.party, endpoint, pins[0]["key"])
    assert tuple(keys) == expected and 6.9 * DAY < left <= 7 * DAY
    *keys, left = tenant.read(endpoint, pins[0]["key"])
    assert tuple(keys) == expected and 0.9 * DAY < left <= DAY


def test_a_key_is_its_owners_and_openssls_too(tenant):
    made = tenant.json("create", "party.pem", offline=True)
    file = tenant.folder / "party.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey) and raw(key) == made["public_key"]
    before = file.read_bytes()
    assert "never overwritten" in tenant.run("create", "party.pem", fails=True)
    assert file.read_bytes() == before
    other = Ed25519PrivateKey.generate()
    (tenant.folder / "other.pem").write_bytes(other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    assert tenant.json("public", "other.pem", offline=True)["public_key"] == raw(other)
    said = tenant.run("public", "token", fails=True)
    assert "no Ed25519 private key" in said and (tenant.folder / "token").read_text() not in said


def test_certify_believes_the_control_plane_only_if_it_is_told_to(tenant):
    tenant.run("create", "party.pem")
    endpoint, enrol = tenant.enrol()
    asked = ["certify", endpoint, "--key", "party.pem"]
    said = tenant.run(*asked, fails=True)
    assert enrol["signing_key"] in said and "--trust-control-plane" in said
    keys = ["--signing-key", enrol["signing_key"], "--kem-key", enrol["kem_key"]]
    made = tenant.json(*asked, *keys)
    assert made["role"] == "producer" and made["party"] == tenant.party
    assert tenant.json(*asked, "--trust-control-plane")["tenant"] == tenant.id
    # Somebody else's keys, or party: the control plane may be lying.
    _, other = new_keys("other")
    keys[1] = other["signing_key"]
    for wrong in [keys, ["--kem-key", other["kem_key"], "--trust-control-plane"],
                  ["--party", str(uuid.uuid4()), "--trust-control-plane"],
                  ["--role", "consumer", "--trust-control-plane"]]:
        assert "says otherwise" in tenant.run(*asked, *wrong, fails=True)
    assert "not-found" in tenant.run("certify", uuid.uuid4(), "--key", "party.pem",
                                     "--trust-control-plane", fails=True)
    assert "give --tenant" in tenant.run(*asked, "--offline", fails=True, offline=True)


def test_show_tells_what_holds_from_what_does_not(tenant):
    pin = tenant.certifier("2h")
    endpoint, enrol = tenant.enrol()
    tenant.run("certify", endpoint, "--key", "certifier.pem", "--certifier", "certifier.json",
               "--trust-control-plane", "--out", "a.cert")
    assert tenant.json("show", "a.cert", offline=True)["holds"] is None
    party = ["--tenant", tenant.id, "--party", tenant.party]
    tenant.run("pin", *party, "--public-key", pin, "--out", "pins.json", offline=True)
    shown = tenant.json("show", "a.cert", "--pins", "pins.json", offline=True)
    assert shown["holds"] is True and shown["signing_key"] == enrol["signing_key"]
    # Thirty days were asked for; its certifier ends before.
    assert shown["holds_until"] == shown["certifier_not_after"] == shown["not_after"]
    shows = ["show", "a.cert", "--pins"]
    assert "not the endpoint" in tenant.run(*shows, "pins.json", "--endpoint", uuid.uuid4(),
                                            fails=True)
    # Another key is pinned, or none of this party's.
    tenant.run("create", "other.pem")
    tenant.run("pin", *party, "--party-key", "other.pem", "--out", "other.json")
    assert "signature does not verify" in tenant.run(*shows, "other.json", fails=True)
    assert "--replace" in tenant.run("pin", *party, "--public-key", pin, "--out", "other.json",
                                     fails=True)
    tenant.run("pin", *party, "--public-key", pin, "--out", "other.json", "--replace")
    tenant.run(*shows, "other.json")
    (tenant.folder / "none.json").write_text('{"pins":[]}')
    assert "no key is pinned" in tenant.run(*shows, "none.json", fails=True)
    for wrong in ["?", "AgA=", ""]:
        (tenant.folder / "b.cert").write_text(wrong)
        assert "no certificate" in tenant.run("show", "b.cert", fails=True)


def test_a_certifier_certifies_for_its_party_and_time(tenant):
    tenant.certifier("1s")
    endpoint, _ = tenant.enrol()
    asked = ["certify", endpoint, "--trust-control-plane", "--certifier", "certifier.json", "--key"]
    until("the certifier's end",
          lambda: "the certifier ended at" in (subprocess.run(
              [ARMOUR, "party-keys", *asked, "certifier.pem"], cwd=tenant.folder, text=True,
              capture_output=True, env=tenant.environment).stderr))
    tenant.certifier()
    tenant.run(*asked, "certifier.pem")
    assert "of another key" in tenant.run(*asked, "party.pem", fails=True)
    other = tenant.plane.call("POST", "/v1/producers", tenant.token, {"name": "other"})["id"]
    asked[1] = tenant.enrol(party=other)[0]
    assert f"of party {other}" in tenant.run(*asked, "certifier.pem", fails=True)
    # A file that somebody made who has not the party's key.
    file = tenant.folder / "certifier.json"
    written = json.loads(file.read_text())
    written["party"] = other
    file.write_text(json.dumps(written))
    assert "not the party's word" in tenant.run(*asked, "certifier.pem", fails=True)


def test_the_signer_certifies_keys_that_a_host_says_and_no_others(tenant):
    pin = tenant.certifier()
    known, enrol = tenant.enrol()
    tenant.host_says(enrol)
    # Half written, and not a key's file at all.
    (tenant.folder / "keys/half").write_text('{"signing_key": "')
    (tenant.folder / "keys/.hidden").write_text("x")
    injected, _ = tenant.enrol("the control plane's own")
    keys = ["--endpoint-keys", "keys"]
    said = tenant.sign(*keys, fails=True)
    assert f"endpoint {injected}: no host says" in said and "keys/half" in said
    assert "1 endpoints are not certified" in said and "hidden" not in said
    assert {one.name for one in (tenant.folder / "certificates").iterdir()} == {f"{known}.cert"}
    assert tenant.read(known, pin)[0] == enrol["signing_key"]
    # Neither of the two ways to know keys; both of them.
    assert "--endpoint-keys" in tenant.sign(fails=True)
    assert "cannot be used with" in tenant.sign(*keys, "--trust-control-plane", fails=True)


def test_the_signer_renews_nothing_that_holds_and_never_other_keys(tenant):
    pin = tenant.certifier()
    first, _ = tenant.enrol()
    assert json.loads(tenant.sign("--trust-control-plane"))["endpoint"] == first
    file = tenant.folder / f"certificates/{first}.cert"
    before = file.read_bytes()
    assert tenant.sign("--trust-control-plane") == "" and file.read_bytes() == before
    # A certifier that lasts longer, and a validity of which less than a third is left.
    tenant.certifier("20d")
    assert json.loads(tenant.sign("--trust-control-plane", "--valid-for", "9d"))
    assert tenant.read(first, pin)[2] > 8 * DAY
    # It was certified with other keys: the control plane has put its own in their place.
    _, other = new_keys("other")
    tenant.run("certify", first, "--offline", "--key", "party.pem", "--tenant", tenant.id,
               "--party", tenant.party, "--role", "producer", "--signing-key", other["signing_key"],
               "--kem-key", other["kem_key"], "--out", file)
    said = tenant.sign("--trust-control-plane", fails=True)
    assert "never changes" in said and tenant.read(first, pin)[0] == other["signing_key"]
    # Revoked endpoints and those of other parties get none.
    file.unlink()
    tenant.plane.call("POST", f"/v1/endpoints/{first}/revoke", tenant.token, {"reason": "test"})
    elsewhere = tenant.plane.call("POST", "/v1/producers", tenant.token, {"name": "other"})["id"]
    tenant.enrol(party=elsewhere)
    assert tenant.sign("--trust-control-plane") == ""


def test_the_signer_gives_the_control_plane_each_certificate_once(tenant):
    tenant.certifier()
    endpoint, enrol = tenant.enrol()
    tenant.host_says(enrol)
    keys = ["--endpoint-keys", "keys", "--upload"]
    # An auditor's token certifies, and gives nothing: the next look tries again.
    assert "does not take the certificate" in tenant.sign(*keys, fails=True)
    (tenant.folder / "token").write_text(tenant.token)
    tenant.sign(*keys)
    tenant.sign(*keys)
    entries = tenant.plane.call("GET", "/v1/audit?action=endpoint.certificate", tenant.token)["items"]
    written = (tenant.folder / f"certificates/{endpoint}.cert").read_text()
    digest = hashlib.sha256(base64.b64decode(written)).hexdigest()
    assert [(one["target"], one["detail"]["sha256"]) for one in entries] == [(endpoint, digest)]


def test_an_agents_own_word_of_its_keys_is_what_the_signer_certifies(tenant):
    pin = tenant.certifier()
    token = tenant.plane.call("POST", "/v1/enrolment-tokens", tenant.token,
                              {"role": "producer", "party_id": tenant.party})["token"]
    agent = Agent(tenant.folder / "agent", "producer", token, tenant.plane.base, "--listen",
                  f"127.0.0.1:{free_port()}", "--upstream", "http://127.0.0.1:9")
    try:
        said = tenant.folder / "agent/data/public-keys.json"
        until("its word", said.exists)
        listed = lambda: tenant.plane.call("GET", "/v1/endpoints", tenant.token)["items"]
        until("its enrolment", listed)
        [endpoint] = listed()
        (tenant.folder / "keys").mkdir()
        shutil.copy(said, tenant.folder / "keys/agent")
        tenant.sign("--endpoint-keys", "keys")
        own = json.loads(said.read_text())
        assert tenant.read(endpoint["id"], pin)[:2] == (own["signing_key"], own["kem_key"])
    finally:
        agent.stop()


def test_the_signer_watches(tenant):
    """It certifies when an endpoint enrols, long before it would look by itself; takes a new
    certifier's file; and ends if its token is refused.
    """
    pin = tenant.certifier()
    with open(tenant.folder / "log", "wb") as log:
        signer = subprocess.Popen(
            [ARMOUR, "party-keys", "sign", "--key", "certifier.pem", "--certifier",
             "certifier.json", "--trust-control-plane", "--watch", "--interval", "86400"],
            cwd=tenant.folder, env=tenant.environment, stdout=log, stderr=log)
    try:
        there, _ = tenant.enrol()
        folder = tenant.folder / "certificates"
        until("a certificate", lambda: (folder / f"{there}.cert").exists())
        later, enrol = tenant.enrol()
        until("another", lambda: (folder / f"{later}.cert").exists())
        assert tenant.read(later, pin)[:2] == (enrol["signing_key"], enrol["kem_key"])
        # What is wrong with the certifier's file is said, and does not end it.
        file = tenant.folder / "certifier.json"
        good = file.read_text()
        file.write_text("{}")
        last, _ = tenant.enrol()
        until("its complaint", lambda: "not what `party-keys certifier` writes"
              in (tenant.folder / "log").read_text())
        assert signer.poll() is None
        file.write_text(good)
        tenant.enrol()
        until("all", lambda: (folder / f"{last}.cert").exists())
    finally:
        signer.terminate()
        signer.wait(PATIENCE)
    (tenant.folder / "token").write_text("arm_nobody")
    assert "unauthenticated" in tenant.sign("--trust-control-plane", "--watch", fails=True)


def test_a_changed_certificate_is_refused_here_too(tenant):
    """So that the reader above is known to check."""
    pin = tenant.certifier()
    endpoint, _ = tenant.enrol()
    tenant.sign("--trust-control-plane")
    data = base64.b64decode((tenant.folder / f"certificates/{endpoint}.cert").read_text())
    for at in [60, 120, 160, 200, 280]:
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(InvalidSignature):
            certified(bytes(changed), tenant.id, tenant.party, endpoint, pin)
