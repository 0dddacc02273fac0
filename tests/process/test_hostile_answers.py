"""Whatever a service answers, the exporter stays small and its probes stay quick."""

from __future__ import annotations

import gzip
import json
import time
import urllib.request
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.exporter_process import environment, exporter
from tests.support.hostile_service import HostileService
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from tests.support.exporter_process import Exporter
    from tests.support.measurements import Measured

pytestmark = pytest.mark.process

MIB = 1024 * 1024
MAX_RESIDENT_MIB = 150
MAX_PAUSE_SECONDS = 0.5
ATTACK_SECONDS = 5.0
CAP = 4 * MIB
"""The largest answer that is read."""


def gzipped_twice() -> bytes:
    """Returns 512 MiB of blanks in two layers of gzip."""
    packer = zlib.compressobj(9, wbits=31)
    layer = b"".join(packer.compress(b" " * MIB) for _ in range(512)) + packer.flush()
    return gzip.compress(layer)


def filled(row: bytes, size: int) -> bytes:
    """Returns a page of this size, full of the same row."""
    return b'{"RequestId": "r", "SmartJobList": [' + b",".join([row] * (size // (len(row) + 1))) + b"]}"


def largest_page() -> bytes:
    """Returns the page that takes the most to decode of those that are not refused by their size."""
    rows = [
        {"JobId": str(number), "JobType": "ASR", "JobState": "Finished", "CreateTime": "2020-12-26T04:11:10Z"}
        | {"UserData": "\U0001f600" * 700, "Other": [0] * 150}
        for number in range(1000)
    ]
    return json.dumps({"RequestId": "r", "SmartJobList": rows}, ensure_ascii=False).encode()


ATTACKS = {
    "two layers of gzip": ("gzip, gzip", gzipped_twice),
    "one layer of gzip": ("gzip", lambda: gzip.compress(b" " * 512 * MIB, 1)),
    "1.5 million rows": ("", lambda: filled(b'{"JobId":"1"}', 21 * MIB)),
    "empty objects": ("", lambda: filled(b"{}", CAP - 1000)),
    "numbers": ("", lambda: filled(b"1", CAP - 1000)),
    "one long text": ("", lambda: filled(b'{"JobId":"' + b"x" * (CAP - 1000) + b'"}', CAP)),
    "the largest page": ("", largest_page),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_answers(name: str, tmp_path: Path, measured: Measured) -> None:
    """With two targets, no answer takes the process over 150 MiB, or delays a probe by half a second."""
    encoding, make = ATTACKS[name]
    body = make()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Encoding: {encoding}\r\n" if encoding else ""
    response = f"{head}Connection: close\r\n\r\n".encode() + body
    service = HostileService()
    with running_simulators() as here:
        here.run(service.listen({"first": lambda _: response, "second": lambda _: response}))
        targets = [
            {"account": account, "region_id": "cn-a", "endpoint": url} for account, url in sorted(service.urls.items())
        ]
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump({"targets": targets}))
        with exporter(environment(tmp_path, config=config), tmp_path / "log") as running:
            running.wait_for("a poll of each target", lambda scrape: scrape.total("ims_exporter_polls_total") >= 2)
            pause = longest_probe(running, ATTACK_SECONDS)
            resident = peak_mib(running)
            polls = running.wait_for_polls(1).total("ims_exporter_polls_total")
        here.run(service.close())

    measured(f"{name}: {resident:.0f} MiB, longest /livez {pause:.2f} s, {polls:.0f} polls")
    assert resident < MAX_RESIDENT_MIB
    assert pause < MAX_PAUSE_SECONDS


def longest_probe(running: Exporter, seconds: float) -> float:
    """Returns the longest time that /livez took, asked all the time for some seconds."""
    longest, deadline = 0.0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        started = time.monotonic()
        with urllib.request.urlopen(f"{running.url}/livez", timeout=60) as answer:  # noqa: S310 - loopback
            answer.read()
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.01)
    return longest


def peak_mib(running: Exporter) -> float:
    """Returns the peak of the resident memory of the process."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(("VmHWM:", "VmRSS:")))
    return int(line.split()[1]) / 1024
