"""Instructions that hot paths take, counted by valgrind: they do not depend on how busy the
machine is, as times do. `tests/instructions.json` holds what they took when they were last
looked at; `ARMOUR_INSTRUCTIONS=keep pytest tests/test_instructions.py` writes it anew.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest

CPU = pathlib.Path("/proc/cpuinfo").read_text().split()

ROOT = pathlib.Path(__file__).parent.parent
KEPT = ROOT / "tests" / "instructions.json"
# Signatures and keys differ from run to run, and with them what checking them takes.
TOLERANCE = 1.02
# What the counts were taken with; newer instructions valgrind does not show to programs.
FLAGS = {"avx2", "bmi2", "adx"}
PATHS = {"exchange": (20, 120), "body": (2, 6), "judge": (20, 120)}


def instructions(path: str, times: int) -> int:
    program = ROOT / "target" / "debug" / "hot-path"
    done = subprocess.run(
        ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        + [program, path, str(times)],
        capture_output=True,
        text=True,
        check=True,
    )
    counted = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert counted, done.stderr
    return int(counted.group(1).replace(",", ""))


@pytest.mark.skipif(not FLAGS.issubset(CPU), reason="code for other processors takes others")
@pytest.mark.parametrize("path", PATHS)
def test_a_hot_path_takes_no_more_instructions(path: str) -> None:
    few, many = PATHS[path]
    # What starting takes is in both.
    each = (instructions(path, many) - instructions(path, few)) // (many - few)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    print(f"{path}: {each:,} instructions, {kept.get(path, 0):,} kept")
    if os.environ.get("ARMOUR_INSTRUCTIONS") == "keep":
        kept[path] = each
        KEPT.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
        return
    assert each <= kept[path] * TOLERANCE, (
        f"{path} takes {each:,} instructions, {kept[path]:,} before; "
        "if that is worth it, keep the new count"
    )
