"""The command line, on a real control plane: every route an operator or the platform may
call is called by some command; doctor, top, profiles, completions and manual pages work.
"""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
import urllib.request

import pytest
import requests

from agents import agents, wait_for_port
from control_plane import PATIENCE, PLATFORM, ROOT, control_plane, free_port, until

ARMOUR = ROOT / "target/debug/armour"
# Called by agents, browsers and issuers alone.
NOT_FOR_OPERATORS = re.compile(r"/v1/(endpoint(/|$)|enrol(/|$)|auth/|logout$|openapi)")


class Cli:
    def __init__(self, folder, **environment):
        self.environment = {**os.environ, "ARMOUR_CONFIG": str(folder / "config.toml"),
                            "ARMOUR_DATA_DIR": str(folder / "data"), "HOME": str(folder),
                            **environment}
        self.folder = folder

    def run(self, *arguments, fails=False, **environment) -> str:
        done = subprocess.run([ARMOUR, *map(str, arguments)], capture_output=True, text=True,
                              timeout=PATIENCE, env={**self.environment, **environment})
        assert (done.returncode != 0) == fails, done
        return done.stderr if fails else done.stdout

    def json(self, *arguments, **environment):
        return json.loads(self.run("--output", "json", *arguments, **environment))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    metrics = free_port()
    (folder / "plane").mkdir()
    with control_plane(folder / "plane", ARMOUR_METRICS_LISTEN=f"127.0.0.1:{metrics}",
                       ARMOUR_EGRESS_ALLOW_ISSUERS="127.0.0.0/8",
                       ARMOUR_EGRESS_ALLOW_WEBHOOKS="127.0.0.0/8") as plane:
        (folder / "platform").write_text(PLATFORM)
        platform = Cli(folder, ARMOUR_SERVER=plane.base,
                       ARMOUR_TOKEN_FILE=str(folder / "platform"))
        with agents(plane, folder / "agents") as made:
            with_admin = made.tenant.token
            (folder / "admin").write_text(with_admin)
            admin = Cli(folder, ARMOUR_SERVER=plane.base, ARMOUR_TOKEN_FILE=str(folder / "admin"))
            yield plane, metrics, platform, admin, made


def routes_called(metrics: int) -> set:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    return set(re.findall(r'armour_http_requests_total\{method="(\w+)",[^}]*route="([^"]+)"', text))


def test_every_route_has_a_command(world, tmp_path):
    plane, metrics, platform, admin, made = world
    document = json.loads((ROOT / "openapi/openapi.json").read_text())
    health = free_port()
    made.producer("--upstream", "http://127.0.0.1:9", "--upstream-check", "off", "--health-listen", f"127.0.0.1:{health}")
    _, base = made.consumer()
    wait_for_port(int(base.split(":")[1]))
    until("an answer", lambda: requests.get(f"http://{base}/").status_code == 502)
    tenant = made.tenant.id

    # What there is of each, by its list.
    for lists in [["producers"], ["consumers"], ["pairs"], ["endpoints"], ["bundles"]]:
        first = admin.json(*lists, "list")[0]
        assert admin.json(*lists, "get", first["id"])["id"] == first["id"]
    pair, bundle = admin.json("pairs", "list")[0], admin.json("bundles", "list")[0]
    party = admin.json("producers", "create", "another")["id"]
    consumer = admin.json("consumers", "create", "another")["id"]
    admin.json("pairs", "create", "--consumer", consumer, "--producer", party)
    admin.json("pairs", "policy", pair["id"], '{"report_interval_ms": 60}')
    admin.json("enrolment-tokens", "create", "--role", "producer", "--party", party)
    assert admin.json("enrolment-tokens", "list")
    assert admin.json("pairs", "traffic", pair["id"])
    assert admin.json("bundles", "lanes", bundle["id"])
    assert admin.json("bundles", "tickets", bundle["id"], "--lane", 0)
    assert admin.json("bundles", "sub-tickets", bundle["id"], "--lane", 0, "--n", 1) == []
    admin.json("bundles", "obediences", bundle["id"])
    admin.json("bundles", "disconnect", bundle["id"], "--reason", "test")
    admin.json("pairs", "disconnect", pair["id"], "--reason", "test")
    admin.json("pairs", "re-arm", pair["id"], "--reason", "test")
    assert admin.json("overview")["pairs_active"] >= 1
    admin.json("whoami")
    admin.json("quotas")
    admin.json("health")
    admin.json("health", "--live")
    # Of collisions there is none: a nil id is refused, by the right route.
    assert admin.json("collisions") == []
    nil = "00000000-0000-0000-0000-000000000000"
    assert "not-found" in admin.run("collisions", nil, fails=True)
    assert "not-found" in admin.run("evidence", "get", nil, tmp_path / "evidence", fails=True)
    # Audit.
    entries = admin.json("audit", "list")
    admin.json("audit", "head")
    admin.json("audit", "proof", entries[-1]["seq"])
    admin.json("audit", "consistency", "--first", 1, "--size", 2)
    rotated = admin.json("audit", "rotate-key", "--reason", "test")
    admin.json("audit", "export", tmp_path / "log")
    for key in [rotated["old_key"], rotated["new_key"]]:
        trusted = admin.json("audit", "verify", tmp_path / "log", "--log-key", key)
        assert trusted["verified"]
    # Access.
    token = admin.json("api-tokens", "create", "t", "--role", "auditor")
    admin.json("api-tokens", "list")
    rotated = admin.json("api-tokens", "rotate", token["id"])
    admin.json("api-tokens", "revoke", rotated["id"])
    issuer = admin.json("issuers", "create", "i", "--kind", "workload", "--url",
                        "http://127.0.0.1:9", "--audience", "armour")
    admin.json("issuers", "list")
    admin.json("issuers", "get", issuer["id"])
    rule = admin.json("issuers", "add-rule", issuer["id"], "--subject", "s", "--role", "producer",
                      "--party", party)
    admin.json("issuers", "rules", issuer["id"])
    admin.json("issuers", "delete-rule", issuer["id"], rule["id"])
    admin.json("issuers", "delete", issuer["id"])
    admin.json("sessions", "list")
    assert "not-found" in admin.run("sessions", "end", nil, fails=True)
    # Webhooks.
    hook = admin.json("webhooks", "create", "http://127.0.0.1:9/", "--kind", "*")["webhook"]
    admin.json("webhooks", "list")
    admin.json("webhooks", "get", hook["id"])
    admin.json("pairs", "policy", pair["id"], '{"report_interval_ms": 70}')
    delivery = until("a delivery", lambda: admin.json("webhooks", "deliveries", hook["id"]))[0]
    admin.json("webhooks", "replay", hook["id"], delivery["id"])
    admin.json("webhooks", "enable", hook["id"])
    admin.json("webhooks", "delete", hook["id"])
    # The platform.
    platform.json("tenants", "list")
    platform.json("tenants", "get", tenant)
    platform.json("tenants", "quotas", tenant)
    platform.json("tenants", "quotas", tenant, "--set", "{}")
    platform.json("tenants", "fence", tenant, "--reason", "test")
    other = platform.json("tenants", "create", "short-lived")["tenant"]
    platform.json("platform", "overview", other["id"])
    platform.json("tenants", "delete", other["id"], "--confirm", "short-lived")
    platform.json("platform", "system")
    platform.json("platform", "audit")
    platform.json("keys", "list")
    platform.json("keys", "rotate", "--to", 1)
    platform.json("keys", "rotations", platform.json("keys", "rotations")[0]["id"])
    assert platform.run("keys", "retire", 1, fails=True)
    platform.json("keys", "signing")
    platform.json("keys", "rotate-signing")
    assert platform.json("keys", "public")["keys"]
    endpoint = admin.json("endpoints", "list")[0]
    assert admin.json("endpoints", "starts", endpoint["id"])
    assert admin.json("endpoints", "disputes") == []
    # Only one start lives, and this is nobody's certificate.
    admin.run("endpoints", "choose-start", endpoint["id"], "--keep", "older", fails=True)
    (tmp_path / "certificate").write_text("AAAA")
    admin.run("endpoints", "certificate", endpoint["id"], tmp_path / "certificate", fails=True)
    admin.json("endpoints", "revoke", endpoint["id"], "--reason", "test")
    # Events: the first one of the stream.
    stream = subprocess.Popen([ARMOUR, "--output", "json", "events", "--after", "0"],
                              env=admin.environment, stdout=subprocess.PIPE, text=True)
    assert json.loads(stream.stdout.readline())["seq"] >= 1
    stream.terminate()
    stream.wait()

    called = routes_called(metrics)
    wanted = {(method.upper(), path) for path, item in document["paths"].items()
              for method in item if not NOT_FOR_OPERATORS.match(path)}
    assert len(wanted) > 60
    missing = sorted(wanted - called)
    assert not missing, missing


def test_tables_are_for_people(world):
    _, _, _, admin, _ = world
    lines = admin.run("pairs", "list").splitlines()
    assert lines[0].split()[:3] == ["ID", "CONSUMER_NAME", "PRODUCER_NAME"]


@pytest.mark.parametrize("command", [
    ["pairs", "list"], ["--output", "json", "endpoints", "list"], ["doctor"],
    ["top", "--looks", "1"], ["completions", "bash"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_fault_and_a_full_device_is_one(world, command):
    _, _, _, admin, _ = world

    def run(stdout):
        return subprocess.run([ARMOUR, *command], stdout=stdout, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE, env=admin.environment)

    # As `| head` once it has seen enough.
    reader, writer = os.pipe()
    os.close(reader)
    done = run(writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, ""), done
    with open("/dev/full", "wb") as full:
        done = run(full)
    assert done.returncode == 1 and "No space left on device" in done.stderr, done
    assert "panicked" not in done.stderr, done


def test_messages_say_what_to_do(world, tmp_path):
    _, _, _, admin, _ = world
    for server in ["nonsense", "armour.example:7100", "ftp://armour.example", "http://"]:
        told = admin.run("--server", server, "whoami", fails=True)
        assert "give one such as https://armour.example.com with --server" in told, told
    told = admin.run("--server", "http://127.0.0.1:9", "whoami", fails=True)
    assert told.count("127.0.0.1:9") == 1 and "Connection refused" in told, told
    token = admin.json("api-tokens", "create", "old", "--role", "auditor")
    (tmp_path / "old").write_text(token["token"])
    admin.run("api-tokens", "revoke", token["id"])
    told = admin.run("--token-file", tmp_path / "old", "whoami", fails=True)
    assert "was revoked or has expired; ask an administrator" in told, told


def test_names_stand_for_ids_and_tables_show_names(world):
    _, _, _, admin, _ = world
    pair = admin.json("pairs", "list")[0]
    name = f"{pair['consumer_name']}:{pair['producer_name']}"
    assert admin.json("pairs", "get", name)["id"] == pair["id"]
    assert admin.json("consumers", "get", pair["consumer_name"])["id"] == pair["consumer_id"]
    told = admin.run("pairs", "disconnect", "shap:stick", "--reason", "test", fails=True)
    assert "no pair has the name" in told and "armour pairs list" in told, told
    made = admin.json("enrolment-tokens", "create", "--role", "consumer", "--party",
                      pair["consumer_name"])
    assert made["id"]
    table = admin.run("enrolment-tokens", "list")
    assert pair["consumer_name"] in table and pair["consumer_id"] not in table, table
    for bundle in admin.json("bundles", "list", "--pair", name):
        assert bundle["pair_id"] == pair["id"]
    assert pair["id"] not in admin.run("bundles", "list")


def test_exit_codes_are_the_documented_ones(world, tmp_path):
    _, _, _, admin, _ = world

    def code(*words, **more):
        return subprocess.run([ARMOUR, *words], env={**admin.environment, **more},
                              capture_output=True, timeout=PATIENCE).returncode

    assert code("whoami") == 0
    assert code("--server", "http://127.0.0.1:9", "whoami") == 1
    assert code("whoami", "--nonsense") == 2


def test_the_demonstration_calls_the_control_plane_that_it_is_told(world, tmp_path):
    _, _, _, admin, _ = world
    (tmp_path / "dev.json").write_text(json.dumps(
        {"control_plane": "http://127.0.0.1:8", "consumer": "127.0.0.1:8",
         "pair": "00000000-0000-0000-0000-000000000000"}))
    (tmp_path / "operator-token").write_text("none")
    done = subprocess.run(
        [ARMOUR, "--data-dir", tmp_path, "demo", "enrol"], capture_output=True, text=True,
        env={**admin.environment, "ARMOUR_SERVER": "http://127.0.0.1:9"}, timeout=PATIENCE)
    assert done.returncode == 1 and "127.0.0.1:9" in done.stderr, done


def test_doctor_is_refused_nothing_with_a_tenants_token(world):
    _, _, _, admin, _ = world

    def denials():
        return admin.json("audit", "list", "--action", "access.deny")

    before = denials()
    subprocess.run([ARMOUR, "doctor"], env=admin.environment, capture_output=True)
    assert denials() == before


def test_doctor_finds_what_is_wrong(world, tmp_path):
    plane, _, platform, admin, made = world
    found = {one["check"]: one for one in json.loads(
        subprocess.run([ARMOUR, "-o", "json", "doctor"], env=admin.environment,
                       capture_output=True, text=True).stdout)}
    assert found["readiness"]["state"] == "ok" and found["clock"]["state"] == "ok", found
    assert found["audit log"]["state"] == "ok" and found["version"]["state"] == "ok", found
    of_platform = {one["check"]: one["state"] for one in platform.json("doctor")}
    assert of_platform["migrations"] == "ok" and of_platform["master keys"] == "ok"
    assert of_platform["token"] == "skipped"
    assert of_platform["outside"] == "ok"
    # A disconnected pair.
    pair = admin.json("pairs", "list")[0]["id"]
    admin.json("pairs", "disconnect", pair, "--reason", "test")
    told = subprocess.run([ARMOUR, "doctor"], env=admin.environment, capture_output=True, text=True)
    assert told.returncode == 1 and "BROKEN   pairs" in told.stdout, told
    assert "armour pairs re-arm" in told.stdout
    admin.json("pairs", "re-arm", pair, "--reason", "test")
    # No control plane, a wrong token, an agent that is not there, an open folder.
    nowhere = subprocess.run([ARMOUR, "--server", "http://127.0.0.1:9", "doctor"],
                             env=admin.environment, capture_output=True, text=True)
    assert nowhere.returncode == 1 and "BROKEN   reachability" in nowhere.stdout
    (tmp_path / "token").write_text("arm_wrong")
    wrong = subprocess.run([ARMOUR, "--token-file", tmp_path / "token", "doctor"],
                           env=admin.environment, capture_output=True, text=True)
    assert "BROKEN   token" in wrong.stdout, wrong
    (tmp_path / "open").mkdir(mode=0o755)
    agent = subprocess.run(
        [ARMOUR, "doctor", "--agent", "127.0.0.1:9", "--agent-data-dir", tmp_path / "open"],
        env=admin.environment, capture_output=True, text=True)
    assert "BROKEN   agent " in agent.stdout and "others may read it" in agent.stdout, agent


def test_top_shows_pairs_in_a_terminal(world):
    """In a real pseudo-terminal, until `q`; and as text."""
    _, _, _, admin, _ = world
    text = admin.run("top", "--looks", "2", "--interval", "1")
    assert text.count("exchanges/s") == 2 and "shop" in text and "-0.0" not in text
    assert "--looks" in admin.run("top", fails=True)
    child, terminal = pty.fork()
    if child == 0:
        os.execve(ARMOUR, [ARMOUR, "top", "--interval", "1"],
                  {**admin.environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"})
    import fcntl
    import struct
    import termios
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    seen, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end and not (b"EXCHANGES/S" in seen and b"shop" in seen):
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536)
    assert b"EXCHANGES/S" in seen and b"shop" in seen, seen
    os.write(terminal, b"q")
    status = until("its end", lambda: os.waitpid(child, os.WNOHANG)[0] and (True,))
    assert status
    os.close(terminal)


def test_profiles_name_control_planes(world, tmp_path):
    plane, _, platform, admin, _ = world
    bare = Cli(tmp_path)
    assert "--server" in bare.run("whoami", fails=True)
    (tmp_path / "admin").write_text((admin.folder / "admin").read_text())
    bare.run("profiles", "set", "one", "--url", plane.base, "--token", tmp_path / "admin",
             "--format", "json")
    bare.run("profiles", "set", "gone", "--url", "http://127.0.0.1:9", "--token",
             tmp_path / "admin")
    assert json.loads(bare.run("whoami"))["role"] == "tenant-admin"
    assert "cannot reach" in bare.run("--profile", "gone", "whoami", fails=True)
    assert "no profile" in bare.run("whoami", fails=True, ARMOUR_PROFILE="none")
    bare.run("profiles", "use", "gone")
    assert [row["default"] for row in bare.json("profiles", "list")] == [True, False]
    bare.run("profiles", "remove", "gone")
    assert [row["name"] for row in bare.json("profiles", "list")] == ["one"]
    (tmp_path / "config.toml").write_text("defualt = 1")
    assert "defualt" in bare.run("profiles", "list", fails=True)


def test_completions_and_manual_pages(world, tmp_path):
    _, _, _, admin, _ = world
    script = tmp_path / "completions"
    script.write_text(admin.run("completions", "bash"))
    asked = subprocess.run(
        ["bash", "-c", f"source {script}; COMP_WORDS=(armour pai); COMP_CWORD=1;"
         " _armour armour pai armour; echo ${COMPREPLY[@]}"], capture_output=True, text=True)
    assert asked.stdout.strip() == "pairs", asked
    for shell in ["zsh", "fish", "elvish", "powershell"]:
        assert "re-arm" in admin.run("completions", shell)
    admin.run("man", tmp_path / "man")
    pages = {page.name for page in (tmp_path / "man").iterdir()}
    assert {"armour.1", "armour-pairs-re-arm.1", "armour-doctor.1"} <= pages
    if shutil.which("man"):
        shown = subprocess.run(["man", "-l", tmp_path / "man/armour.1"], capture_output=True,
                               text=True, env={**os.environ, "MANPAGER": "cat", "PAGER": "cat"})
        assert shown.returncode == 0 and "doctor" in shown.stdout, shown
