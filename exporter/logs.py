"""Logging: one line per event, in logfmt or JSON, for the events of the exporter and of its libraries."""

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
"""The logger of the exporter's events. The minimum level of all other loggers is `warning`."""

CREDENTIALS_LIBRARY = "credentials"
"""The logger of Alibaba's credentials library, shown at `debug` only: the exporter logs its errors in one line."""

TEA_LIBRARY = "alibabacloud-tea"
"""The logger of the HTTP client in that library."""

SECRET_NAME = re.compile("secret|token|signature|authorization|password", re.IGNORECASE)
MASK = "***"
NOT_IN_NAMES = re.compile(r"[^\w.-]")
PLAIN_VALUE = re.compile(r'[^\s"=\\]+')


def configure_logging(
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["logfmt", "json"],  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
) -> None:
    """Writes every event of at least this level to the stream, stderr by default, one line per event.

    Call it before the first `structlog.get_logger().bind(...)`. Another call replaces the configuration.
    """
    _configure_stdlib(level, _line_formatter(logfmt if format == "logfmt" else json_line), stream or sys.stderr)
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: logging.getLogger(OWN),
        cache_logger_on_first_use=False,
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Masks the values of fields with a secret in their name: a safety net, as secrets are not logged anyway."""
    return {name: _redacted(name, value) for name, value in event.items()}


def logfmt(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Returns `name=value` pairs; a value that would break the line or the pair is quoted and escaped as in JSON."""
    return " ".join(f"{NOT_IN_NAMES.sub('_', name)}={_logfmt_value(value)}" for name, value in event.items())


def json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Returns the event as one line of JSON; a value that JSON does not support is written as text."""
    return json.dumps(event, default=str)


def _configure_stdlib(level: str, formatter: logging.Formatter, stream: TextIO) -> None:
    severity = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    # Libraries set the level of their own loggers (Alibaba's does), so the handler checks the level.
    handler.addFilter(lambda record: record.levelno >= _threshold(record.name, severity))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(severity, logging.WARNING))
    logging.getLogger(OWN).setLevel(severity)
    # When they are imported, Alibaba's libraries give these loggers a handler of their own, which bypasses this one;
    # with DEBUG=sdk in the environment, `alibabacloud-tea` would log all headers of a request.
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
    """Puts time, level and event first, and adds the logger of a library's event."""
    record: logging.LogRecord = event["_record"]
    time = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
    first = {"ts": time.replace("+00:00", "Z"), "level": record.levelname.lower(), "event": event["event"]}
    logger = {} if record.name == OWN else {"logger": record.name}
    return {**first, **logger, **event, **first}


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
