"""The command `check` prints a verdict for each target, and a hint for each failed part."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from exporter.commands.check import ram_policy
from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey
from exporter.simulator.authentication import Key
from exporter.simulator.faults import Fault
from exporter.simulator.server import Simulator
from tests.support.command_line import CANARY, NAMES, TOKEN, CommandLine
from tests.support.dead_endpoint import dead_endpoint
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = Key("STS.id", CANARY, token=TOKEN)
LIST_ONLY = Key("STS.id", CANARY, token=TOKEN, actions=frozenset({"ListSmartJobs"}))
NOTHING = Key("STS.id", CANARY, token=TOKEN, actions=frozenset())


@pytest.fixture
def simulator(cli: CommandLine) -> Iterator[Simulator]:
    """Returns a service to which the environment of the command line points."""
    simulator = Simulator(keys=[KEY])
    with running_simulators(simulator):
        cli.target(simulator.url, KEY)
        yield simulator


def verdicts(text: str) -> dict[str, str]:
    """Returns the mark of each part that was checked."""
    return dict(re.findall(r"^  (\w+) +(ok|FAILED|warning|unknown) ", text, re.MULTILINE))


def test_all_is_good(cli: CommandLine, simulator: Simulator) -> None:
    """A good target is reported as good, part by part, with two calls; nothing is written."""
    ended = cli.run("check")

    assert ended.code == 0
    assert ended.out.startswith("default/cn-shanghai/smart: good\n")
    parts = ("endpoint", "clock", "credentials", "permission", "details")
    assert verdicts(ended.out) == dict.fromkeys(parts, "ok")
    assert simulator.calls == {"ListSmartJobs": 1, "GetSmartHandleJob": 1}


def test_without_failure_details(cli: CommandLine, simulator: Simulator) -> None:
    """The permission for details is not checked if the details are off."""
    ended = cli.run("check", "--failure-details", "off")

    assert ended.code == 0
    assert "details" not in verdicts(ended.out)
    assert simulator.calls == {"ListSmartJobs": 1}


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], "InvalidAccessKeyId.NotFound"),
        ([Key(KEY.key_id, "another", token=TOKEN)], "SignatureDoesNotMatch"),
        ([Key(KEY.key_id, CANARY, token="another")], "InvalidSecurityToken.Expired"),
    ],
)
def test_credentials_refused(cli: CommandLine, simulator: Simulator, keys: list[Key], code: str) -> None:
    """A refused key is reported with the error code of the service and a hint."""
    simulator.keys.clear()
    simulator.keys.update({key.key_id: key for key in keys})

    ended = cli.run("check")

    assert ended.code == 1
    assert "default/cn-shanghai/smart: NOT GOOD" in ended.out
    assert verdicts(ended.out) == {"credentials": "FAILED"}
    assert code in ended.out
    assert "check the access key" in ended.out


def test_no_credentials(cli: CommandLine, simulator: Simulator) -> None:
    """A variable that is not set is reported by its setting: its name can be a secret. No call is made."""
    cli.patch.setenv("IMS_EXPORTER_CREDENTIALS__ACCESS_KEY_SECRET_ENV", CANARY.upper())

    ended = cli.run("check")

    assert (ended.code, simulator.calls) == (1, {})
    assert verdicts(ended.out) == {"credentials": "FAILED"}
    assert "variable that credentials.access_key_secret_env names is not set" in ended.out
    assert CANARY.upper() not in ended.out + ended.err
    assert simulator.url not in ended.out


@pytest.mark.parametrize("command", ["check", "once"])
def test_no_credentials_anywhere(cli: CommandLine, simulator: Simulator, command: str, tmp_path: Path) -> None:
    """Without credentials every place that was searched is reported, with a hint; no library logs anything."""
    cli.patch.delenv("IMS_EXPORTER_CREDENTIALS")
    cli.patch.delenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
    cli.patch.setenv("HOME", str(tmp_path))

    ended = cli.run(command)

    said = ended.out + ended.err
    assert (ended.code, simulator.calls) == (1, {})
    assert "no credentials were found" in said
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET are not set" in said
    assert f"there is no {tmp_path}/.aliyun/config.json" in said
    assert "no RAM role of an ECS instance answers" in said
    assert "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or" in said
    assert "logger=" not in said


def test_no_permission(cli: CommandLine, simulator: Simulator) -> None:
    """A key without the permission gets the policy to grant, ready to copy."""
    simulator.keys[KEY.key_id] = NOTHING

    ended = cli.run("check")

    assert ended.code == 1
    assert verdicts(ended.out) == {"permission": "FAILED"}
    assert ram_policy() in ended.out
    assert json.loads(ram_policy())["Statement"][0]["Action"] == ["ice:ListSmartJobs", "ice:GetSmartHandleJob"]


def test_single_call_forbidden(cli: CommandLine, simulator: Simulator) -> None:
    """A missing permission for details is a warning, not a failure."""
    simulator.keys[KEY.key_id] = LIST_ONLY

    ended = cli.run("check")

    assert ended.code == 0
    assert verdicts(ended.out)["details"] == "warning"
    assert "ice:GetSmartHandleJob is not granted" in ended.out


def test_nobody_there(cli: CommandLine) -> None:
    """A dead endpoint is reported with a hint."""
    with dead_endpoint() as url:
        cli.target(url, KEY)
        ended = cli.run("check")

    assert ended.code == 1
    assert verdicts(ended.out) == {"endpoint": "FAILED"}
    assert re.search(rf"{url}: .+; check the endpoint's name", ended.out)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("hang"), "request_timeout_seconds"),
        (Fault("garbage"), "no proxy answers in its place"),
        (Fault("fail"), "the service is at fault"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_endpoint_that_fails(cli: CommandLine, simulator: Simulator, fault: Fault, text: str) -> None:
    """An endpoint with a wrong answer has failed, with a hint for the kind of answer."""
    simulator.faults.add(fault)

    ended = cli.run("check", f"--request-timeout-seconds={0.3 if fault.kind == 'hang' else 30}")

    assert ended.code == 1
    assert verdicts(ended.out) == {"endpoint": "FAILED"}
    assert text in ended.out


def test_throttled(cli: CommandLine, simulator: Simulator) -> None:
    """Throttling proves endpoint, clock and key; the verdict says so with a hint, and the exit code is 1."""
    simulator.faults.add(Fault("throttle"))

    ended = cli.run("check")

    assert ended.code == 1
    assert ended.out.startswith("default/cn-shanghai/smart: THROTTLED\n")
    assert verdicts(ended.out) == {
        **dict.fromkeys(("endpoint", "clock", "credentials"), "ok"),
        "quota": "FAILED",
        "permission": "unknown",
    }
    assert "Throttling.User" in ended.out
    assert "check again in a minute" in ended.out


def test_interrupted(cli: CommandLine, simulator: Simulator) -> None:
    """A check that Ctrl+C interrupts exits with 130."""

    async def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    cli.patch.setattr("exporter.commands.check.check", interrupted)

    assert (cli.run("check").code, simulator.calls) == (130, {})


@pytest.mark.parametrize(
    ("offset", "code", "told"),
    [
        (3600, 1, ("FAILED", "set this machine's clock")),
        (-3600, 1, ("FAILED", "set this machine's clock")),
        (300, 0, ("warning", "seconds behind the service")),
        (-300, 0, ("warning", "seconds ahead of the service")),
        (5, 0, ("ok", "seconds behind the service")),
    ],
)
def test_clock(cli: CommandLine, simulator: Simulator, offset: float, code: int, told: tuple[str, str]) -> None:
    """A clock that makes the service refuse calls is a failure; a smaller difference is a warning."""
    simulator.clock_offset = offset

    ended = cli.run("check")

    assert ended.code == code
    assert verdicts(ended.out)["clock"] == told[0]
    assert told[1] in ended.out


def test_every_target_is_checked(cli: CommandLine, simulator: Simulator, tmp_path: Path) -> None:
    """One bad target makes the exit code 1, and hides no other target."""
    for name in ("REGION_ID", "ENDPOINT", "CREDENTIALS"):
        cli.patch.delenv(f"IMS_EXPORTER_{name}")
    common = {"region_id": "cn-shanghai", "credentials": json.loads(NAMES)}
    with dead_endpoint() as url:
        targets = [
            {**common, "account": "bad", "endpoint": url},
            {**common, "account": "good", "endpoint": simulator.url},
        ]
        (tmp_path / "config.yaml").write_text(json.dumps({"targets": targets}))
        ended = cli.run("check", "--config", "config.yaml")

    assert ended.code == 1
    assert re.findall(r"^(\S+): (.+)$", ended.out, re.MULTILINE) == [
        ("bad/cn-shanghai/smart", "NOT GOOD"),
        ("good/cn-shanghai/smart", "good"),
    ]


def test_a_shard_without_targets(cli: CommandLine) -> None:
    """A shard without targets says that there is nothing to check."""
    empty = 1 - owner(PollKey("default", "cn-shanghai", "smart"), 2)

    ended = cli.run("check", "--region-id", "cn-shanghai", "--shards", "2", "--shard", str(empty))

    assert (ended.code, ended.out) == (0, f"shard {empty} of 2 has no targets: nothing to check\n")


def test_an_account_that_owes_money(cli: CommandLine, simulator: Simulator) -> None:
    """Arrears are a problem of the account, and no policy is printed for them."""
    simulator.faults.add(Fault("fail", status=403, code="Forbidden.Arrears"))

    ended = cli.run("check")

    assert ended.code == 1
    assert verdicts(ended.out) == {"account": "FAILED"}
    assert "pay what is overdue" in ended.out
    assert "Statement" not in ended.out


@pytest.mark.usefixtures("simulator")
def test_sts_that_cannot_be_reached(cli: CommandLine) -> None:
    """An STS that cannot be reached is a problem of the credentials, and the hint is about the network."""
    with dead_endpoint() as url:
        role = {"role_arn": "acs:ram::1:role/x", "sts_endpoint": url.removeprefix("http://")}
        cli.patch.setenv("IMS_EXPORTER_CREDENTIALS", json.dumps({**json.loads(NAMES), **role}))
        cli.patch.setenv("IMS_EXPORTER_REQUEST_TIMEOUT_SECONDS", "0.5")
        ended = cli.run("check")

    assert ended.code == 1
    assert verdicts(ended.out) == {"credentials": "FAILED"}
    assert "AssumeRole at 127.0.0.1:" in ended.out
    assert "DNS, the proxy and firewalls" in ended.out
