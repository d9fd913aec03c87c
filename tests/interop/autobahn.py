"""Autobahn|Testsuite (`wstest`): its fuzzing client before an echo of `websockets`."""

import contextlib
import json
import subprocess
import sys

from control_plane import free_port
from suite import HERE, Server, answers, running

NAME = "autobahn"


@contextlib.contextmanager
def serve(tools, folder):
    port = free_port()
    with running([sys.executable, HERE / "echo.py", port], port, folder / "echo.log"):
        yield Server(port)


def ready(address):
    # Without a handshake the server itself refuses it, with 426.
    return answers(address)


def cases(tools, folder, address, direct):
    """Each case's behaviour, and that of its closing, as the suite judges them."""
    report, spec = folder / f"autobahn-{address.split(':')[1]}", folder / "spec.json"
    spec.write_text(json.dumps({
        "outdir": str(report),
        "servers": [{"agent": "echo", "url": f"ws://{address}/"}],
        "cases": tools.wanted or ["*"], "exclude-cases": [], "exclude-agent-cases": {},
    }))
    with open(folder / "wstest.log", "ab") as log:
        subprocess.run([tools.program("py2/bin/wstest"), "-m", "fuzzingclient", "-s", spec],
                       stdout=log, stderr=log, check=True, cwd=folder)
    index = json.loads((report / "index.json").read_text())["echo"]
    for case, judged in sorted(index.items(), key=lambda one: [int(at) for at in one[0].split(".")]):
        yield f"Autobahn: {case}", f"{judged['behavior']}/{judged['behaviorClose']}"
