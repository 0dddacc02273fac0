"""docs/configuration.md is what the settings say."""

from __future__ import annotations

from pathlib import Path

from alibabacloud_credentials.utils import auth_util

from exporter.config.document import DEFAULT_CHAIN, configuration_document, example_file
from exporter.config.load import load_settings
from exporter.config.settings import CredentialSettings, Settings, TargetSettings
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    """The page equals what `python -m exporter.config.document` writes."""
    assert PAGE.read_text(encoding="utf-8") == configuration_document()


def test_every_setting_is_on_the_page() -> None:
    """Each setting stands there with its variable, and each key of targets and credentials."""
    page = configuration_document()

    assert not [name for name in Settings.model_fields if f"`IMS_EXPORTER_{name.upper()}`" not in page]
    keys = [*TargetSettings.model_fields, *CredentialSettings.model_fields]
    assert not [name for name in keys if f"\n| `{name}` |" not in page]


def test_the_example_is_a_good_file(tmp_path: Path) -> None:
    """The whole file on the page loads."""
    path = tmp_path / "settings.yaml"
    path.write_text(example_file(), encoding="utf-8")

    settings = load_settings({"config": str(path)}, {})

    assert [str(target.key) for target in settings.polled_targets] == [
        "prod/cn-shanghai/smart",
        "prod/ap-southeast-1/smart",
        "media/cn-beijing/smart",
        "archive/cn-shanghai/smart",
    ]


def test_the_example_is_whole() -> None:
    """The whole file shows each setting, and each key of a target and of credentials."""
    names = {*Settings.model_fields, *TargetSettings.model_fields, *CredentialSettings.model_fields}

    assert not [name for name in names if f"{name}: " not in example_file().replace(":\n", ": \n")]


def test_the_default_chain_is_that_of_the_library() -> None:
    """Each variable that the page names for the default chain is one that the library reads."""
    read = Path(auth_util.__file__).read_text(encoding="utf-8")
    named = [part for _, variables in DEFAULT_CHAIN for part in variables.split("`")[1::2]]

    assert not [name for name in named if f"'{name.partition('=')[0]}'" not in read]
