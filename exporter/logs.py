"""Logging: one line for each event, in logfmt or JSON, for our own events and the libraries' alike."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

OWN = "exporter"
"""The logger of our own events; all others are heard from `warning` on."""

CREDENTIALS_LIBRARY = "credentials"
"""The logger of Alibaba's credentials library, heard at `debug` only: its errors come as ours, in one line."""

TEA_LIBRARY = "alibabacloud-tea"
"""The logger of what carries that library's requests, which has nothing to say from `warning` on."""

SECRET_NAME = re.compile("secret|token|signature|authorization|password", re.IGNORECASE)
MASK = "***"
NOT_IN_NAMES = re.compile(r"[^\w.-]")
PLAIN_VALUE = re.compile(r'[^\s"=\\]+')


def configure_logging(
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["logfmt", "json"],  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
) -> None:
    """Sends every event from `level` on to the stream, stderr by default, one line each.

    Call it before the first `structlog.get_logger().bind(...)`; calling it again replaces what was set.
    """
    _take_over_stdlib(level, _line_formatter(logfmt if format == "logfmt" else json_line), stream or sys.stderr)
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: logging.getLogger(OWN),
        cache_logger_on_first_use=False,
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Masks the values of fields whose name sounds secret: a net below the rule not to log them."""
    return {name: _redacted(name, value) for name, value in event.items()}


def logfmt(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Returns `name=value` pairs; what could break line or pair is quoted and escaped as in JSON."""
    return " ".join(f"{NOT_IN_NAMES.sub('_', name)}={_logfmt_value(value)}" for name, value in event.items())


def json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Returns the event as one line of JSON; what JSON does not know is written as text."""
    return json.dumps(event, default=str)


def _take_over_stdlib(level: str, formatter: logging.Formatter, stream: TextIO) -> None:
    severity = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    # A library may set the level of its own loggers (Alibaba's does): the handler has the last word.
    handler.addFilter(lambda record: record.levelno >= _threshold(record.name, severity))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(severity, logging.WARNING))
    logging.getLogger(OWN).setLevel(severity)
    # Alibaba's libraries give these loggers a handler when they are imported, which writes past ours; with DEBUG=sdk
    # in the environment, `alibabacloud-tea` would tell all headers of a request.
    for name in (CREDENTIALS_LIBRARY, TEA_LIBRARY):
        logging.getLogger(name).handlers.clear()


def _threshold(logger: str, severity: int) -> int:
    if logger.partition(".")[0] == OWN:
        return severity
    if logger == CREDENTIALS_LIBRARY and severity > logging.DEBUG:
        return logging.CRITICAL + 1
    return max(severity, logging.WARNING)


def _line_formatter(render: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _with_record,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
    )


def _with_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Puts time, level and event first, and the library's logger, if it is a library that speaks."""
    record: logging.LogRecord = event["_record"]
    time = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
    first = {"ts": time.replace("+00:00", "Z"), "level": record.levelname.lower(), "event": event["event"]}
    speaker = {} if record.name == OWN else {"logger": record.name}
    return {**first, **speaker, **event, **first}


def _redacted(name: str, value: object) -> object:
    if SECRET_NAME.search(name):
        return MASK
    if isinstance(value, dict):
        return {str(key): _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(name, inner) for inner in value]
    return value


def _logfmt_value(value: object) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if text == "" or (PLAIN_VALUE.fullmatch(text) and text.isprintable()):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
