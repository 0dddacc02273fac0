"""The README in the package's metadata: its links to files of the repository are absolute, as an index needs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "https://github.com/ims-exporter/ims-exporter"
IMAGE = re.compile(r"(!\[[^\]]*\])\((?!https?:|#)([^)]+)\)")
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


class PackageReadme(MetadataHookInterface):
    """Hook of hatchling that sets the dynamic field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets the text of the README with absolute links."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_absolute_links(text)}


def with_absolute_links(text: str) -> str:
    """Returns Markdown whose relative links lead to the main branch of the repository, those of images to the file."""
    text = IMAGE.sub(rf"\1({REPOSITORY}/raw/main/\2)", text)
    return LINK.sub(rf"]({REPOSITORY}/blob/main/\1)", text)
