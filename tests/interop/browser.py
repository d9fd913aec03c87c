"""Pages that Chromium opens, and what their scripts tell: they ask for `/told?` and an outcome."""

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

from suite import CASE, PASS, failed

EVENTS_PAGE = b"""<!doctype html><title>events</title><script>
const source = new EventSource("/events"), seen = [];
source.onmessage = event => {
    seen.push(event.data);
    fetch("/step");
    if (seen.length === 5) { source.close(); fetch("/told?" + seen.join()); }
};
source.onerror = () => { source.close(); fetch("/told?FAIL after " + seen.length + " events"); };
</script>"""

SOCKET_PAGE = b"""<!doctype html><title>socket</title><script>
const data = crypto.getRandomValues(new Uint8Array(65536)), large = new Uint8Array(1000000);
for (let at = 0; at < large.length; at++) large[at] = data[at % data.length];
const socket = new WebSocket(location.href.replace("http", "ws").replace("page", "talk"), ["chat.v1"]);
socket.binaryType = "arraybuffer";
const told = [];
socket.onopen = () => { told.push(socket.protocol, socket.extensions.split(";")[0]); socket.send("text"); };
socket.onmessage = event => {
    if (event.data === "text") { told.push("text"); return socket.send(large); }
    told.push(new Uint8Array(event.data).every((byte, at) => byte === large[at]) ? "same" : "other");
    socket.send("close");
};
socket.onclose = event => fetch("/told?" + [...told, event.code, event.reason].join());
</script>"""


def shown(folder, url: str, told: queue.Queue, right: str, on_the_way: bytes = b"") -> str:
    """Opens a page and waits for its word; what is to be seen `on_the_way` is looked for in what
    the browser writes down of its connections."""
    while not told.empty():
        told.get()
    profile = tempfile.mkdtemp(dir=folder)
    written = Path(profile) / "connections.json"
    process = subprocess.Popen(
        ["/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--ignore-certificate-errors", "--remote-debugging-port=0",
         f"--log-net-log={written}", f"--user-data-dir={profile}", url],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        word = unquote(told.get(timeout=CASE))
        end = time.monotonic() + CASE
        while on_the_way not in written.read_bytes() and word == right:
            if time.monotonic() > end:
                word += f", but no {on_the_way.decode()}"
            time.sleep(0.1)
    except queue.Empty:
        word = "nothing told"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return PASS if word == right else failed(word)
