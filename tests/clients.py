"""The typed clients for Python and TypeScript, generated anew from the API's document once in
a run of the tests.
"""

import functools
import subprocess

from control_plane import ROOT

PYTHON = ROOT / "openapi/python"
TYPESCRIPT = ROOT / "openapi/typescript"


@functools.cache
def build() -> None:
    subprocess.run([ROOT / "scripts/clients"], check=True, timeout=300)
