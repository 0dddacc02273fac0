"""A network of its own for one test: what runs in it sees only loopback, and addresses that the test adds."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.real_tools import required
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNSHARE = ("unshare", "--net", "--mount", "sh", "-ec")
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
LONGEST_SECONDS = 120


def run_isolated(
    module: str, folder: Path, environ: Mapping[str, str], *, addresses: Sequence[str] = (), has_ipv6: bool = True
) -> str:
    """Runs a Python module in a network with these addresses, and returns its output; fails if the module does.

    Skips the test without root. With root it needs a kernel with network namespaces: else it skips, and fails in CI.
    """
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    required(find_once())
    hosts = folder / "hosts"
    hosts.write_text(HOSTS)
    commands = [
        "ip link set lo up",
        *(f"ip addr add {address}/32 dev lo" for address in addresses),
        f"mount --bind {shlex.quote(str(hosts))} /etc/hosts",
        f"exec {shlex.join((sys.executable, '-m', module, str(folder)))}",
    ]
    if not has_ipv6:
        commands.insert(1, "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
    done = subprocess.run(  # noqa: S603 - our own
        [*UNSHARE, "\n".join(commands)],
        cwd=ROOT,
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@functools.cache
def find_once() -> Path | str:
    """Returns the path of a program that can make a network, or what is missing."""
    try:
        done = subprocess.run(  # noqa: S603 - a tool of the system
            [*UNSHARE, "ip link set lo up"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"no network namespaces: {error}"
    return Path(UNSHARE[0]) if done.returncode == 0 else f"no network namespaces: {done.stderr.strip()}"
