"""How the parts hang together: no file of a crate imports one that imports it, directly
or by way of others, and no crate depends on one that stands above it.

Read from the sources: `mod` lines give the files, paths that begin with `crate`, `self`,
`super` or a module's name the imports. What a file only hands on (`pub use`) is taken
from where it is defined. Tests inside a file may use what they like.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from control_plane import ROOT

# Each may depend on those before it.
LEVELS = [
    ["armour-ambient", "armour-protocol", "armour-api", "armour-telemetry"],
    ["armour-dpop", "armour-transparency", "armour-listener"],
    ["armour-client", "armour-storage", "armour-enclave"],
    ["armour-endpoint"],
    ["armour-agent", "armour-control-plane", "armour-cli"],
    ["armour-reference", "armour-e2e", "armour-fuzz", "armour-model",
     "armour-protocol-benches"],
    ["armour-benches"],
]


def packages() -> list[dict]:
    listed = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return json.loads(listed.stdout)["packages"]


PACKAGES = packages()
ROOTS = sorted(
    Path(target["src_path"])
    for package in PACKAGES
    for target in package["targets"]
    if set(target["kind"]) & {"lib", "bin", "test"}
)


def test_no_crate_depends_on_one_above_it():
    level = {name: place for place, names in enumerate(LEVELS) for name in names}
    upward = []
    for package in PACKAGES:
        assert package["name"] in level, f"give {package['name']} its level in {__file__}"
        for dependency in package["dependencies"]:
            name = dependency["name"]
            if name in level and dependency["kind"] != "dev" \
                    and level[name] >= level[package["name"]]:
                upward.append(f"{package['name']} -> {name}")
    assert not upward


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: str(root.relative_to(ROOT)))
def test_no_file_imports_what_imports_it(root):
    circles = [circle for circle in components(imports(root)) if len(circle) > 1]
    assert not circles


def test_a_circle_is_found(tmp_path):
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\npub use a::A;\n")
    (tmp_path / "a.rs").write_text("use crate::{b::{self, B}};\nstruct A;\n")
    (tmp_path / "b.rs").write_text('// crate::a\nfn f() -> super::a::A { "super::b" }\n')
    assert [sorted(circle) for circle in components(imports(tmp_path / "lib.rs"))
            if len(circle) > 1] == [["a.rs", "b.rs"]]


def test_tests_inside_a_file_are_no_imports_of_it(tmp_path):
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\n")
    (tmp_path / "a.rs").write_text("use super::b::B;\n")
    (tmp_path / "b.rs").write_text("#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n")
    assert all(len(circle) == 1 for circle in components(imports(tmp_path / "lib.rs")))


def test_what_a_file_hands_on_is_where_it_is_defined(tmp_path):
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\npub use a::{A, A as Other};\nfn f() {}\n")
    (tmp_path / "a.rs").write_text("struct A;\n")
    (tmp_path / "b.rs").write_text("use crate::Other;\n")
    assert imports(tmp_path / "lib.rs")["b.rs"] == {"a.rs"}
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\npub use a::*;\nfn f() {}\n")
    (tmp_path / "a.rs").write_text("pub struct Other;\n")
    assert imports(tmp_path / "lib.rs")["b.rs"] == {"a.rs"}
    (tmp_path / "b.rs").write_text("use crate::f;\n")
    assert imports(tmp_path / "lib.rs")["b.rs"] == {"lib.rs"}


def imports(root: Path) -> dict[str, set[str]]:
    """Which files of a crate each of its files imports, by their paths below the root."""
    files: dict[tuple[str, ...], Path] = {}
    texts: dict[tuple[str, ...], str] = {}

    def read(module: tuple[str, ...], file: Path, folder: Path) -> None:
        files[module] = file
        texts[module] = without_inner_modules(without_comments(file.read_text()))
        for name in re.findall(r"\bmod\s+(\w+)\s*;", texts[module]):
            for child in (folder / f"{name}.rs", folder / name / "mod.rs"):
                if child.exists():
                    read((*module, name), child, folder / name)

    read((), root, root.parent)
    handed_on: dict[tuple[str, ...], tuple[str, ...]] = {}
    for module, text in texts.items():
        for start in re.finditer(r"\bpub(?:\s*\([^)]*\))?\s+use\s+", text):
            for path, alias in tree(text, start.end(), module):
                if path[-1] == "*":
                    for name in defined(texts.get(path[:-1], "")):
                        handed_on[(*module, name)] = (*path[:-1], name)
                else:
                    handed_on[(*module, alias or path[-1])] = path
    found: dict[str, set[str]] = {}
    for module, text in texts.items():
        own = found.setdefault(str(files[module].relative_to(root.parent)), set())
        for path in named(text, module, files):
            seen = set()
            while path in handed_on and path not in files and path not in seen:
                seen.add(path)
                path = handed_on[path]
            while path and path not in files:
                path = path[:-1]
            if path != module:
                own.add(str(files[path].relative_to(root.parent)))
    return found


def defined(text: str) -> list[str]:
    """Names that a module's text defines for others."""
    kinds = "struct|enum|trait|fn|type|const|static|mod"
    return re.findall(rf"\bpub(?:\s*\([^)]*\))?\s+(?:async\s+)?(?:{kinds})\s+(\w+)", text)


def named(text: str, module: tuple[str, ...], files: dict) -> set[tuple[str, ...]]:
    """Paths that a module's text names, from the crate's root."""
    children = {path[-1] for path in files if path and path[:-1] == module}
    first = "|".join(["crate", "self", "super", *sorted(children)])
    return {
        path
        for start in re.finditer(rf"(?<![\w:.])(?:{first})\b\s*::", text)
        for path, _ in tree(text, start.start(), module)
    }


def tree(text: str, at: int, module: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """The paths of a use tree, or of a plain path, that begins at a place: each from the
    crate's root, with the name that it is given.
    """
    found = []
    for path, alias in branch(text, at)[0]:
        base = list(module)
        for part, name in enumerate(path):
            if name == "crate":
                base = []
            elif name == "super":
                base = base[:-1]
            elif name != "self":
                base += path[part:]
                break
        # `use a::{self}` is `use a`.
        found.append((tuple(base[:-1] if base[-1:] == ["self"] else base), alias))
    return found


def branch(text: str, at: int) -> tuple[list[tuple[tuple[str, ...], str]], int]:
    """The paths of a use tree with their aliases, and where it ends."""
    parts: list[str] = []
    while True:
        at = skip_space(text, at)
        if text[at:at + 1] == "{":
            found, at = [], skip_space(text, at + 1)
            while text[at:at + 1] not in ("}", ""):
                inner, after = branch(text, at)
                found += [((*parts, *path), alias) for path, alias in inner]
                at = skip_space(text, re.compile(r"[^,{}]*,?").match(text, after).end())
            return found, at + 1
        word = re.compile(r"\w+|\*").match(text, at)
        if not word:
            return [(tuple(parts), "")], at
        parts.append(word.group())
        at = word.end()
        after = skip_space(text, at)
        if text[after:after + 2] != "::":
            alias = re.compile(r"\s+as\s+(\w+)").match(text, at)
            return [(tuple(parts), alias.group(1) if alias else "")], alias.end() if alias else at
        at = after + 2


def skip_space(text: str, at: int) -> int:
    return re.compile(r"\s*").match(text, at).end()


def without_comments(text: str) -> str:
    """Without comments and the insides of strings."""
    token = r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\\\'])\''
    return re.sub(token, lambda match: " " if match.group()[0] == "/" else '""', text, flags=re.S)


def without_inner_modules(text: str) -> str:
    """Without the modules that a file has inside of it."""
    while start := re.search(r"\bmod\s+\w+\s*\{", text):
        depth, at = 1, start.end()
        while depth and at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        text = text[:start.start()] + text[at:]
    return text


def components(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan, 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            circle = []
            while not circle or circle[-1] != node:
                circle.append(stack.pop())
            found.append(sorted(circle))

    for node in edges:
        if node not in number:
            visit(node)
    return found
