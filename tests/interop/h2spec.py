"""h2spec: conformance of each HTTP/2 server of Armour's, with RFC 9113's predecessor (RFC 7540)
and HPACK."""

import subprocess
import xml.etree.ElementTree as xml


def cases(tools, folder, name: str, address: str, path: str, tls: bool = False):
    """Each case of h2spec before a server, and its outcome."""
    host, port = address.split(":")
    report = folder / f"h2spec-{port}.xml"
    subprocess.run([tools.program("bin/h2spec"), "-h", host, "-p", port, "-P", path, "-o", "5",
                    "-j", report, *(["-t", "-k"] if tls else [])],
                   stdout=subprocess.DEVNULL, check=False)
    for suite in xml.parse(report).iter("testsuite"):
        for number, case in enumerate(suite.iter("testcase"), 1):
            failure = case.find("failure")
            if failure is None:
                failure = case.find("error")
            why = "pass" if failure is None else f"FAIL: {' '.join((failure.text or '').split())}"
            yield f"h2spec, {name}: {case.get('package')}/{number} {case.get('classname')}", why
