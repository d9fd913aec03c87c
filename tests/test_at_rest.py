"""Payloads at rest: what one of the libraries for Rust, Python and TypeScript seals each of the
others opens, and the guide's examples do what they say. Those in Rust are run by `cargo test`.
"""

import os
import re
import subprocess
import sys

import pytest

import clients
from clients import PYTHON, TYPESCRIPT
from control_plane import PATIENCE, ROOT

GUIDE = ROOT / "docs/at-rest.md"
PROGRAM_IN_PYTHON = """
import sys
from pathlib import Path
from armour_client.at_rest import Key

match sys.argv[1:]:
    case ["new-key"]:
        print(Key.generate().secret(), end="")
    case [verb, file]:
        key = Key(Path(file).read_text())
        run = key.seal_stream if verb == "seal" else key.open_stream
        run(sys.stdin.buffer, sys.stdout.buffer)
"""
PROGRAMS = {
    "rust": [str(ROOT / "target/debug/examples/at_rest")],
    "python": [sys.executable, "-c", PROGRAM_IN_PYTHON],
    "typescript": ["node", str(TYPESCRIPT / "dist/test/at-rest.js")],
}
# Nothing, a chunk of the format exactly, and more than two.
SIZES = [0, 1, 65536, 150_000]


@pytest.fixture(scope="module", autouse=True)
def built():
    clients.build()


def run(language: str, *arguments, given=b"", fails=False) -> bytes:
    done = subprocess.run([*PROGRAMS[language], *map(str, arguments)], input=given,
                          capture_output=True, timeout=PATIENCE,
                          env={**os.environ, "PYTHONPATH": str(PYTHON / "client")})
    assert (done.returncode != 0) == fails, (language, done.stderr)
    return done.stderr if fails else done.stdout


@pytest.fixture(params=PROGRAMS)
def sealed(request, tmp_path):
    """Payloads and their files, by one of the three, under a key that it made."""
    key = tmp_path / "key"
    key.write_bytes(run(request.param, "new-key"))
    assert re.fullmatch(rb"AGE-SECRET-KEY-1[0-9A-Z]{58}", key.read_bytes())
    payloads = [os.urandom(size) for size in SIZES]
    return key, [(one, run(request.param, "seal", key, given=one)) for one in payloads]


@pytest.mark.parametrize("reader", PROGRAMS)
def test_each_opens_what_the_others_seal(reader, sealed, tmp_path):
    key, files = sealed
    for payload, file in files:
        assert file.startswith(b"age-encryption.org/v1\n-> X25519 ")
        assert run(reader, "open", key, given=file) == payload
    payload, file = files[-1]
    # Cut off where a chunk ends, changed in its last, and under another key.
    first = len(file) - (len(payload) % 65536) - 16
    run(reader, "open", key, given=file[:first], fails=True)
    run(reader, "open", key, given=file[:-1] + bytes([file[-1] ^ 1]), fails=True)
    other = tmp_path / "other"
    other.write_bytes(run(reader, "new-key"))
    said = run(reader, "open", other, given=file, fails=True)
    assert key.read_bytes() not in said and other.read_bytes() not in said


def test_python_says_what_is_wrong():
    sys.path.insert(0, str(PYTHON / "client"))
    try:
        from armour_client.at_rest import AtRestError, Key
    finally:
        sys.path.pop(0)
    import pickle

    key = Key.generate()
    sealed = key.seal(b"payload")
    assert Key(key.secret() + "\n").open(sealed) == b"payload"
    assert repr(key) == str(key) == "Key(…)"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    for file in [b"", b"no age file", sealed[:-1]]:
        with pytest.raises(AtRestError):
            key.open(file)
    with pytest.raises(AtRestError):
        Key.generate().open(sealed)
    for wrong in [None, "", "secret", key.secret()[:-1], "AGE-SECRET-KEY-PQ-1"]:
        with pytest.raises(AtRestError) as refused:
            Key(wrong)
        assert refused.value.__cause__ is None and (wrong or "") in ["", "secret"] or \
            wrong not in str(refused.value)


def example(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return text


# What stands in for a key store, which no test machine has: in memory, and nothing else.
KEYRING_IN_PYTHON = """
kept = {}


def set_password(service, name, password):
    kept[service, name] = password


def get_password(service, name):
    return kept.get((service, name))


def delete_password(service, name):
    del kept[service, name]
"""
KEYRING_IN_JAVASCRIPT = """
const kept = new Map();
export class Entry {
  constructor(service, name) { this.at = JSON.stringify([service, name]); }
  setPassword(password) { kept.set(this.at, password); }
  getPassword() { return kept.get(this.at) ?? null; }
  deletePassword() { return kept.delete(this.at); }
}
"""
# As the package declares it.
KEYRING_IN_TYPESCRIPT = """
export declare class Entry {
  constructor(service: string, username: string);
  setPassword(password: string): void;
  getPassword(): string | null;
  deletePassword(): boolean;
}
"""


def test_the_example_in_python(tmp_path):
    (tmp_path / "keyring.py").write_text(KEYRING_IN_PYTHON)
    program = "\n".join([
        "from pathlib import Path",
        f"file, payload = Path({str(tmp_path / 'order.age')!r}), b'an order'",
        example("python"),
        "assert not keyring.kept and not file.exists()",
        "print('done')",
    ])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ,
                               "PYTHONPATH": f"{tmp_path}:{PYTHON / 'client'}"})
    assert done.stdout == "done\n", done.stderr


def test_the_example_in_typescript(tmp_path):
    """As strictly typed as the client, with the client as a package that is installed."""
    modules = tmp_path / "node_modules"
    keyring = modules / "@napi-rs/keyring"
    keyring.mkdir(parents=True)
    (keyring / "package.json").write_text(
        '{ "name": "@napi-rs/keyring", "type": "module", "main": "index.js" }')
    (keyring / "index.js").write_text(KEYRING_IN_JAVASCRIPT)
    (keyring / "index.d.ts").write_text(KEYRING_IN_TYPESCRIPT)
    (modules / "@armour").mkdir()
    (modules / "@armour/client").symlink_to(TYPESCRIPT)
    (tmp_path / "package.json").write_text('{ "type": "module" }')
    (tmp_path / "example.ts").write_text("\n".join([
        'import assert from "node:assert/strict";',
        'import { existsSync } from "node:fs";',
        f'const file = "{tmp_path / "order.age"}";',
        "const payload = new TextEncoder().encode('an order');",
        example("typescript"),
        "assert(entry.getPassword() === null && !existsSync(file));",
        "console.log('done');",
    ]))
    compiled = subprocess.run(
        [TYPESCRIPT / "node_modules/.bin/tsc", "--strict", "--target", "ES2022", "--module",
         "NodeNext", "--skipLibCheck", "--typeRoots", TYPESCRIPT / "node_modules/@types",
         "--types", "node", "example.ts"], cwd=tmp_path, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stdout
    done = subprocess.run(["node", "example.js"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
