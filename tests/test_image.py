"""The images, as far as it goes without a container engine: the Dockerfile copies what
exists, and what it puts into an empty root runs there, read-only, as nobody, without
a capability. The programs are built by the script that the Dockerfile calls.
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from control_plane import PATIENCE, PLATFORM, ROOT, ControlPlane, database_urls, free_port, new_database, until

DOCKERFILE = (ROOT / "Dockerfile").read_text()
NOBODY = 65532
DEVICES = ("null", "zero", "random", "urandom")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="making a root needs to be root")


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage: name and rest."""
    found: dict[str, list[tuple[str, str]]] = {}
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            stage = rest.split(" AS ")[1]
            found[stage] = []
        if found:
            found[stage].append((name, rest))
    return found


def copies(stage: str) -> list[tuple[str | None, list[str], str]]:
    found = []
    for name, rest in stages()[stage]:
        if name == "COPY":
            *sources, target = rest.split()
            origin = None
            if sources[0].startswith("--from="):
                origin = sources.pop(0).removeprefix("--from=")
            found.append((origin, sources, target))
    return found


def test_what_is_copied_exists():
    ignored = (ROOT / ".dockerignore").read_text().split()
    count = 0
    for stage in stages():
        for origin, sources, _ in copies(stage):
            for source in sources:
                if origin is not None:
                    assert origin in stages()
                    continue
                assert (ROOT / source).exists(), source
                assert source not in ignored, source
                count += 1
    assert count > 8


def test_every_member_of_the_workspace_is_there():
    manifest = (ROOT / "Cargo.toml").read_text()
    members = re.search(r"members = \[(.*?)\]", manifest, re.DOTALL).group(1)
    copied = [source for _, sources, _ in copies("build") for source in sources]
    for member in re.findall(r'"([^"]+)"', members):
        folder = member.removesuffix("/*")
        assert any(folder == c or folder.startswith(c + "/") for c in copied), member


def test_bases_are_pinned_and_nobody_is_root():
    for image in re.findall(r"^ARG (?:RUST|NODE)=(.*)$", DOCKERFILE, re.MULTILINE):
        assert re.search(r":\d+\S*$", image) and "latest" not in image
    for stage in ("control-plane", "agent"):
        assert stages()[stage][0] == ("FROM", f"scratch AS {stage}")
        user = dict(stages()[stage])["USER"]
        assert user == f"{NOBODY}:{NOBODY}"


@pytest.fixture(scope="module")
def built() -> Path:
    """What the build stage leaves in /image; built for a smoke test."""
    folder = ROOT / "target" / "image-root"
    subprocess.run([ROOT / "scripts" / "build-image", "smoke", folder], check=True)
    return folder


@pytest.fixture
def roots(built: Path, tmp_path: Path) -> dict[str, Path]:
    """The final stages, put together as the Dockerfile says."""
    made = {}
    for stage in ("control-plane", "agent"):
        root = tmp_path / stage
        root.mkdir()
        for origin, sources, target in copies(stage):
            for source in sources:
                if source.startswith("/image/"):
                    place = built / source.removeprefix("/image/")
                elif origin == "console":
                    place = ROOT / source.removeprefix("/armour/")
                    if not place.exists():
                        pytest.fail("the console is not built; make test-python builds it")
                else:
                    place = Path(source)
                goal = root / target.lstrip("/")
                if place.is_dir():
                    shutil.copytree(place, goal, dirs_exist_ok=True)
                else:
                    goal.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(place, goal)
        # What a container engine mounts.
        for folder in ("proc", "dev", "run/secrets"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for device in DEVICES:
            (root / "dev" / device).touch()
        made[stage] = root
    return made


def entrypoint(stage: str) -> str:
    return json.loads(dict(stages()[stage])["ENTRYPOINT"])[0]


def test_programs_are_static(built: Path):
    for stage in ("control-plane", "agent"):
        program = built / stage / entrypoint(stage).lstrip("/")
        headers = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True)
        assert "INTERP" not in headers.stdout
        sections = subprocess.run(["readelf", "-SW", program], capture_output=True, text=True, check=True)
        assert ".symtab" not in sections.stdout and ".debug_info" not in sections.stdout
        assert str(ROOT).encode() not in program.read_bytes()


LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def call(name: str, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name} {arguments}")


def enter(root: Path, writable: list[str]):
    """Makes this process what a container engine makes of one, the `restricted` level
    of Kubernetes: its own mounts, all of them read-only but memory at `writable`,
    nobody in particular, no capability and no way to one."""
    place = os.fsencode(root)
    call("unshare", CLONE_NEWNS)
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    call("mount", place, place, None, MS_BIND, None)
    call("mount", b"proc", place + b"/proc", b"proc", 0, None)
    for device in DEVICES:
        device = b"/dev/" + device.encode()
        call("mount", device, place + device, None, MS_BIND, None)
    for name in writable:
        owner = f"mode=0700,uid={NOBODY},gid={NOBODY}".encode()
        call("mount", b"memory", place + b"/" + name.encode(), b"tmpfs", 0, owner)
    call("mount", None, place, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
    os.chroot(root)
    os.chdir("/")
    for capability in range(LAST_CAPABILITY + 1):
        call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


@contextlib.contextmanager
def contained(root: Path, command: list[str], log: Path, writable=(), **env: str):
    """Runs a program of a root in it."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env=env,
            stdout=out,
            stderr=out,
            preexec_fn=lambda: enter(root, list(writable)),
        )
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0, log.read_text()[-2000:]


def served(url: str, process: subprocess.Popen, log: Path) -> str:
    def ask():
        assert process.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return answer.read().decode()

    return until(url, ask)


def restricted(process: subprocess.Popen):
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
    )
    for capabilities in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == [str(NOBODY)] * 4
    root = [
        line for line in Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()
        if line.split()[4] == "/"
    ]
    assert root and all(line.split()[5].startswith("ro") for line in root)


@needs_root
def test_both_run_in_an_empty_root(roots: dict[str, Path], tmp_path: Path):
    database = new_database()
    log = tmp_path / "migrations.log"
    program = entrypoint("control-plane")
    # As the chart's Job runs it, with no secret but the database's.
    only = database_urls(database)
    with contained(roots["control-plane"], [program, "--migrate-only"], log, **only) as process:
        process.wait(60)
    port, metrics = free_port(), free_port()
    secrets = roots["control-plane"] / "run" / "secrets"
    (secrets / "keys").mkdir()
    (secrets / "keys" / "1").write_text("5a" * 32)
    (secrets / "platform").write_text(PLATFORM)
    log = tmp_path / "control-plane.log"
    environment = {
        "ARMOUR_LISTEN": f"127.0.0.1:{port}",
        "ARMOUR_METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "ARMOUR_DATABASE_URL": only["ARMOUR_DATABASE_URL"],
        "ARMOUR_MASTER_KEYS_DIR": "/run/secrets/keys",
        "ARMOUR_PLATFORM_TOKEN_FILE": "/run/secrets/platform",
        "ARMOUR_CONSOLE_DIR": "/usr/share/armour/console",
    }
    base = f"http://127.0.0.1:{port}"
    with contained(roots["control-plane"], [program], log, **environment) as process:
        served(f"{base}/v1/health/ready", process, log)
        restricted(process)
        assert "<title>Armour" in served(f"{base}/", process, log)
        assert "armour_http_requests_total" in served(f"http://127.0.0.1:{metrics}/metrics", process, log)
        plane = ControlPlane(base)
        token = plane.tenant("image")["token"]
        party = plane.call("POST", "/v1/producers", token, {"name": "stock"})["id"]
        enrolment = plane.call(
            "POST", "/v1/enrolment-tokens", token, {"role": "producer", "party_id": party}
        )["token"]
        (roots["agent"] / "run" / "secrets" / "enrolment").write_text(enrolment)
        health = free_port()
        agent_log = tmp_path / "agent.log"
        agent = {
            "ARMOUR_CONTROL_PLANE": base,
            "ARMOUR_AGENT_DATA_DIR": "/var/lib/armour",
            "ARMOUR_ENROL_TOKEN_FILE": "/run/secrets/enrolment",
            "ARMOUR_AGENT_LISTEN": f"127.0.0.1:{free_port()}",
            "ARMOUR_AGENT_UPSTREAM": "http://127.0.0.1:9",
            "ARMOUR_AGENT_HEALTH_LISTEN": f"127.0.0.1:{health}",
        }
        command = [entrypoint("agent"), "producer"]
        with contained(
            roots["agent"], command, agent_log, ["var/lib/armour"], **agent
        ) as process:
            assert served(f"http://127.0.0.1:{health}/ready", process, agent_log) == "ok\n"
            restricted(process)
        endpoints = plane.call("GET", "/v1/endpoints", token)["items"]
        assert [endpoint["state"] for endpoint in endpoints] == ["active"]
