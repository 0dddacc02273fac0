"""Every event is one line, whoever speaks and whatever is said, and no secret is in it."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

import pytest
import structlog

from exporter.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary"
Form = Literal["logfmt", "json"]
FORMS: tuple[Form, ...] = ("logfmt", "json")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Puts back what the test has configured."""
    root, own = logging.root, logging.getLogger("exporter")
    before = (list(root.handlers), root.level, own.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])
    structlog.reset_defaults()


def test_logfmt_line() -> None:
    """A line has time in UTC with milliseconds, level and event first, then the fields in their order."""
    stream = io.StringIO()
    configure_logging("info", "logfmt", stream)

    structlog.get_logger().bind(account="a b").info("poll", jobs=3, good=True, error=None, path="C:\\x", id="a=b")

    line = stream.getvalue()
    assert re.match(r"ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line)
    assert line.partition(" ")[2] == (
        'level=info event=poll account="a b" jobs=3 good=true error= path="C:\\\\x" id="a=b"\n'
    )


def test_json_line() -> None:
    """A line is one JSON object with the same fields, numbers as numbers."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    structlog.get_logger().info("poll", jobs=3, good=True, error=None, why=ValueError("x"))

    found = json.loads(stream.getvalue())
    assert list(found) == ["ts", "level", "event", "jobs", "good", "error", "why"]
    assert (found["jobs"], found["good"], found["error"], found["why"]) == (3, True, None, "x")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["a\nlevel=info", "a\r\nb", "\x1b[2J", "a\u2028b", "\x85", '"\n"', "\udcff"])
def test_nothing_breaks_the_line(form: Form, text: str) -> None:
    """Line breaks and control characters are escaped, in values, events and messages of libraries."""
    stream = io.StringIO()
    configure_logging("info", form, stream)

    structlog.get_logger().info(text, field=text, nested={text: text})
    logging.getLogger("library").warning("said %s", text)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("form", FORMS)
def test_tracebacks_are_one_field(form: Form) -> None:
    """A traceback is one field of one line, ours and the libraries'."""
    stream = io.StringIO()
    configure_logging("info", form, stream)

    try:
        raise ValueError("broken")  # noqa: TRY301 - to be logged
    except ValueError as error:
        structlog.get_logger().error("poll", exc_info=error)
        logging.getLogger("apscheduler").exception("job failed")

    ours, theirs = stream.getvalue().splitlines()
    assert "Traceback (most recent call last)" in ours
    assert "ValueError: broken" in theirs
    assert "exc_info" not in ours + theirs


def test_levels() -> None:
    """Our own events count from the level set, those of libraries from warning on, whatever they set."""
    stream = io.StringIO()
    configure_logging("debug", "logfmt", stream)
    library = logging.getLogger("library.part")
    library.setLevel(logging.DEBUG)

    structlog.get_logger().debug("ours")
    library.info("chatter")
    library.warning("heard")

    assert re.findall(r"level=(.*)", stream.getvalue()) == [
        "debug event=ours",
        "warning event=heard logger=library.part",
    ]


def test_a_high_level_silences_all_below() -> None:
    """With level error no warning is written, ours or a library's."""
    stream = io.StringIO()
    configure_logging("error", "logfmt", stream)

    structlog.get_logger().warning("ours")
    logging.getLogger("library").warning("theirs")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", FORMS)
def test_secrets_are_masked(form: Form) -> None:
    """Values of fields that sound secret are masked, also inside other fields; nothing else is."""
    stream = io.StringIO()
    configure_logging("info", form, stream)
    log = structlog.get_logger().bind(access_key_secret=CANARY)

    log.info(
        "call",
        Authorization=CANARY,
        request=[{"x-acs-security-token": CANARY}],
        signature=CANARY,
        region="here",
    )

    assert CANARY not in stream.getvalue()
    assert stream.getvalue().count("***") == 4
    assert "here" in stream.getvalue()


@pytest.mark.parametrize(("level", "heard"), [("debug", 1), ("info", 0), ("warning", 0), ("error", 0)])
def test_the_credentials_library_speaks_at_debug_only(
    level: Literal["debug", "info", "warning", "error"], heard: int
) -> None:
    """What Alibaba's credentials library has to say comes as an error of ours; its own words are for `debug`, once."""
    stream, its_own = io.StringIO(), io.StringIO()
    logger = logging.getLogger("credentials")
    logger.addHandler(logging.StreamHandler(its_own))

    configure_logging(level, "logfmt", stream)
    logger.info("chatter")
    logger.error("refresh failed")

    assert its_own.getvalue() == ""
    assert stream.getvalue().count("refresh failed") == heard
    assert "chatter" not in stream.getvalue()


def test_configuring_again_replaces() -> None:
    """A second call, as after a reload, moves the logging of loggers that exist already."""
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", "logfmt", first)
    log = structlog.get_logger()
    log.info("one")

    configure_logging("error", "json", second)
    log.info("two")
    log.error("three")

    assert first.getvalue().count("\n") == 1
    assert json.loads(second.getvalue())["event"] == "three"


@pytest.mark.process
def test_importing_credentials_later_adds_no_second_writer(capfd: pytest.CaptureFixture[str]) -> None:
    """The import of Alibaba's library brings a handler, which our module takes off again."""
    program = (
        "import logging; from exporter.logs import configure_logging; configure_logging('debug', 'logfmt');"
        "import exporter.ims.credentials.source; logging.getLogger('credentials').error('refresh failed')"
    )

    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own program

    assert capfd.readouterr().err.count("refresh failed") == 1
