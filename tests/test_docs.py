"""The documentation: the book builds, every link in it leads somewhere, and the tutorial's
lines do what they say on a running `armour dev`.
"""

import os
import re
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from control_plane import PATIENCE, ROOT, free_port, until

DOCS = ROOT / "docs"


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.update(found[name] for name in ["id", "name"] if found.get(name))
        if tag in ("a", "img"):
            target = found.get("href") or found.get("src")
            if target:
                self.links.append(target)


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("book")
    built = subprocess.run(["mdbook", "build", "--dest-dir", out, ROOT], capture_output=True,
                           text=True)
    assert built.returncode == 0, built.stderr
    assert "WARN" not in built.stderr and "ERROR" not in built.stderr, built.stderr
    return out


def test_every_page_is_in_the_book():
    listed = set(re.findall(r"\]\(([^)]+\.md)\)", (DOCS / "SUMMARY.md").read_text()))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"SUMMARY.md"}
    assert listed == there


def test_every_link_leads_somewhere(book):
    pages = {page: Page(page.read_text()) for page in book.rglob("*.html")
             if page.name not in ("print.html", "404.html", "toc.html")}
    assert len(pages) > 25
    broken, followed = [], 0
    for page, parsed in pages.items():
        for link in parsed.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
            followed += 1
            if not target.exists():
                broken.append((page.name, link))
            elif parts.fragment and target in pages:
                if unquote(parts.fragment) not in pages[target].anchors:
                    broken.append((page.name, link))
    assert followed > 300 and not broken, broken


def test_links_of_pages_outside_the_book_lead_somewhere():
    for page in ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]:
        for link in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text()):
            if not urlsplit(link).scheme:
                assert (ROOT / link).exists(), (page, link)


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_tutorial_does_what_it_says(tmp_path):
    """In one shell, line by line, on ports of its own."""
    names = ["listen", "consumer", "producer", "upstream-port", "postgres-port"]
    ports = {name: free_port() for name in names}
    arguments = [f"--{name}={port if name.endswith('port') else f'127.0.0.1:{port}'}"
                 for name, port in ports.items()]
    environment = {**os.environ, "ARMOUR_DATA_DIR": str(tmp_path / "data"),
                   "ARMOUR_CONFIG": str(tmp_path / "none")}
    tmp_path.chmod(0o711)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    dev = subprocess.Popen([ROOT / "target/debug/armour", "dev", *arguments], cwd=ROOT,
                           env=environment, stdout=open(tmp_path / "dev.log", "wb"),
                           stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{ports['consumer']}/"

        def up():
            assert dev.poll() is None, (tmp_path / "dev.log").read_text()
            try:
                return requests.get(base, timeout=PATIENCE).ok
            except requests.ConnectionError:
                return False

        until("armour dev", up)
        lines = commands(DOCS / "tutorial.md")
        assert len(lines) > 20
        text = "\n".join(lines)
        for port, name in [("7201", "consumer"), ("7202", "producer"), ("7100", "listen")]:
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ports[name]}")
        # A collision takes a moment to reach everybody, and so does its end: these wait for
        # them, and put nothing into what is told that is looked for below.
        refused = f"while curl -sSf -o /dev/null {base}; do sleep 0.1; done"
        text = text.replace("armour collisions\n", f"{refused}\narmour collisions\n", 1)
        assert text.count("sleep 5\n") == 1
        text = text.replace("sleep 5\n", f"until curl -sSf -o /dev/null {base}; do sleep 0.1; done\n")
        done = subprocess.run(["bash", "-exo", "pipefail", "-c", text], cwd=ROOT, text=True,
                              env=environment, capture_output=True, timeout=4 * PATIENCE)
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        for seen in ["Hello from the upstream.", "urn:armour:problem:not-found",
                     "Collision: the ledger cut the bundle off", "urn:armour:problem:endpoint-ended",
                     "BROKEN   pairs", "holds     ", "pair.re-arm", "exchanges/s"]:
            assert seen in told, f"{seen}: {told}"
        # It ends as it began: served.
        assert requests.get(base, timeout=PATIENCE).text == "Hello from the upstream.\n"
    finally:
        dev.send_signal(signal.SIGINT)
        try:
            dev.wait(40)
        finally:
            dev.kill()
