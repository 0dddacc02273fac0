"""Target `settings`: any configuration file gives settings that can be used, or clean problems."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from exporter.config.document import example_file
from exporter.config.load import load_settings
from tests.fuzz.target import Target
from tests.fuzz.yaml_files import read_well, yaml_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE_TARGET = "region_id: cn-shanghai\n"
SHARED = """\
region_id: cn-shanghai
account: &name prod
ledger_path: *name
credentials: &keys {file: keys.ini}
"""


def use(path: Path) -> None:
    """Loads the settings, and uses them as the exporter does at its start."""
    settings = load_settings({"config": str(path)}, {})
    assert settings.listen_pair
    assert len(settings.all_targets) >= len(settings.polled_targets)
    for target in settings.all_targets:
        assert httpx.URL(target.endpoint).host


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Yields the check, in a folder for the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.yaml"

        def check(text: bytes) -> None:
            path.write_bytes(text)
            read_well(text, lambda: use(path))

        yield check


SETTINGS = Target("settings", yaml_files((example_file(), ONE_TARGET, SHARED)), ready)
