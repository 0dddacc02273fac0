"""Processes share the targets: each is polled by one, and few move when their number changes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from exporter.config.load import load_settings
from exporter.errors import SettingsError
from exporter.jobs.shards import ordinal, owner
from exporter.jobs.snapshot import PollKey

KEYS = [
    PollKey(f"account-{number}", region, "smart") for number in range(100) for region in ("cn-shanghai", "cn-beijing")
]
ALL = {"IMS_EXPORTER_TARGETS": json.dumps([{"account": key.account, "region_id": key.region_id} for key in KEYS])}


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_each_target_has_one_owner(shards: int) -> None:
    """All processes together poll every target once, each about as many as the others."""
    polled = [
        str(target.key)
        for shard in range(shards)
        for target in load_settings({"shards": shards, "shard": shard}, ALL).polled_targets
    ]

    assert sorted(polled) == sorted(map(str, KEYS))
    share = len(KEYS) / shards
    assert all(share / 2 < number < share * 1.6 for number in Counter(owner(key, shards) for key in KEYS).values())


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_few_targets_move(shards: int) -> None:
    """One process more takes its share, and no target moves between the others."""
    moved = [key for key in KEYS if owner(key, shards) != owner(key, shards + 1)]

    assert {owner(key, shards + 1) for key in moved} == {shards}
    assert 0 < len(moved) < 1.6 * len(KEYS) / (shards + 1)


def test_owners_are_the_same_everywhere() -> None:
    """The owner depends on the names alone: it must not change with a release."""
    assert [owner(key, 3) for key in KEYS[:8]] == [0, 1, 2, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("hostname", "number"),
    [("ims-exporter-0", 0), ("ims-exporter-12", 12), ("ims-exporter", None), ("host7", None), ("", None)],
)
def test_ordinals(hostname: str, number: int | None) -> None:
    """A StatefulSet's pod ends in a dash and its number."""
    assert ordinal(hostname) == number


def test_the_shard_of_a_pod() -> None:
    """Without `shard` the host's name tells; with it, that is the shard; alone, the name does not matter."""
    flags = {"region_id": "cn-shanghai", "shards": 3}

    assert load_settings(flags, {"HOSTNAME": "ims-2"}).shard == 2
    assert load_settings({**flags, "shard": 1}, {"HOSTNAME": "ims-2"}).shard == 1
    assert load_settings({"region_id": "cn-shanghai"}, {"HOSTNAME": "ims-2"}).shard == 0


@pytest.mark.parametrize(
    ("given", "hostname", "says"),
    [
        ({"shards": 2}, "laptop", "shard: must be given, as HOSTNAME ends in no number"),
        ({"shards": 2}, "ims-2", "shard: must be less than shards: there are 2, and this is 2, from 0"),
        ({"shard": 1}, "", "shard: must be less than shards: there are 1, and this is 1, from 0"),
        ({"shards": 0}, "", "shards: must be greater than or equal to 1"),
    ],
)
def test_shards_that_cannot_be(given: dict[str, int], hostname: str, says: str) -> None:
    """A process that cannot know its part does not start: targets would be polled twice, or not at all."""
    with pytest.raises(SettingsError) as caught:
        load_settings({"region_id": "cn-shanghai", **given}, {"HOSTNAME": hostname})

    assert says in str(caught.value).replace("--", "")
