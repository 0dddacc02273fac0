"""The command line: one function for each command, and what they have in common."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from exporter import __version__, app
from exporter.arguments import Parser, number, whole_number
from exporter.commands.check import check
from exporter.commands.plan import Load, report
from exporter.config.load import load_settings, undocumented_job_types
from exporter.config.sources import add_setting_flags, flags_of, unknown_variables
from exporter.dashboards import dashboard_files, write_dashboards
from exporter.errors import ExporterError, SettingsError
from exporter.logs import configure_logging
from exporter.metrics.document import metrics_table
from exporter.metrics.exposition import TEXT
from exporter.polling.ledger.store import IN_MEMORY
from exporter.rules import (
    DASHBOARD_BASE_URL,
    EXPORTER_BASE_URL,
    RUNBOOK_BASE_URL,
    Thresholds,
    changed,
    listing,
    rule_files,
    write_rules,
)
from exporter.rules.options import base_url, matchers
from exporter.threads import run_detached
from exporter.web.config.file import load_web_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.config.settings import Settings

GOOD, BAD, MISCONFIGURED, INTERRUPTED = 0, 1, 2, 130
MOST_JOBS = 1_000_000_000


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command, and exits: 0 if all went well, 1 if not, 2 for wrong use or configuration, 130 after Ctrl+C."""
    arguments = make_parser().arguments(sys.argv[1:] if argv is None else argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
    except SettingsError as error:
        complain(str(error))
        code = MISCONFIGURED
    except ExporterError as error:
        complain(f"{error}; {error.hint}" if error.hint else str(error))
        code = BAD
    except KeyboardInterrupt:
        code = GOOD if command in {run_command, demo_command} else INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open until the process ends
        code = GOOD
    except OSError as error:
        complain(f"{error.strerror}: {error.filename or 'the output'}")
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what is left in it cannot be written either
        code = BAD
    sys.exit(code)


def make_parser() -> Parser:
    """Returns the parser; every command takes the flags of all settings that it uses."""
    parser = Parser(
        prog="ims-exporter",
        description="Prometheus exporter for jobs of Alibaba Cloud Intelligent Media Services.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(command=run_command)
    add_setting_flags(parser)
    commands = parser.add_commands()

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> Parser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    for name, command, text in (
        ("run", run_command, "poll and serve until stopped (the default)"),
        ("once", once_command, "make one poll, store it in the ledger, and print the metrics"),
        ("check", check_command, "check configuration, credentials and permission of every target"),
    ):
        add_setting_flags(add(name, command, text))
    plan = add("plan", plan_command, "tell how many API calls the configuration will cost, without making one")
    add_setting_flags(plan)
    _add_load_flags(plan)
    demo = add("demo", demo_command, "run everything against a built-in simulated IMS endpoint; needs no account")
    add_setting_flags(demo)
    demo.add_argument("--speed", type=number(0.001, 1000), default=1.0, help="above 1: more jobs, shorter lives (1)")
    history = whole_number(0, 1_000_000)
    demo.add_argument("--history", type=history, default=20_000, metavar="N", help="ended jobs to begin with (20000)")
    add("metrics", metrics_command, "print the table of all metrics")
    _add_rules_flags(add("rules", rules_command, "write the bundled Prometheus rules to a folder"))
    _add_dashboards_flags(add("dashboards", dashboards_command, "write the bundled Grafana dashboards to a folder"))
    return parser


def run_command(arguments: argparse.Namespace) -> int:
    """Polls and serves until SIGTERM or SIGINT; SIGHUP reads the configuration anew."""
    settings = settings_of(arguments)

    async def serve() -> None:
        await app.run(
            settings,
            os.environ,
            on_signals("SIGTERM", "SIGINT"),
            load=lambda: load_settings(flags_of(arguments), os.environ),
            hangup=on_signals("SIGHUP"),
        )

    run_detached(serve())
    return GOOD


def once_command(arguments: argparse.Namespace) -> int:
    """Polls every target once, stores that as `run` would, and prints the exposition; bad if a target failed."""
    settings = settings_of(arguments)

    async def poll() -> bool:
        async with app.assembled(settings, os.environ) as parts:
            tell_ledger(settings.ledger_path)
            await asyncio.gather(*(worker.poller.run() for worker in parts.workers))
            text = parts.exposition.page(TEXT)
            sys.stdout.write(text.decode())
            sys.stdout.flush()
            return all(worker.poller.view.health.up for worker in parts.workers)

    return GOOD if run_detached(poll()) else BAD


def check_command(arguments: argparse.Namespace) -> int:
    """Tells for every target whether it works, and what to do where it does not."""
    settings = settings_of(arguments)
    if settings.web_config_file:
        load_web_config(settings.web_config_file)
    return GOOD if run_detached(check(settings, os.environ, say)) else BAD


def plan_command(arguments: argparse.Namespace) -> int:
    """Prints what the configuration will cost."""
    load = Load(arguments.open_jobs, arguments.jobs_per_day, arguments.failure_ratio)
    say(report(settings_of(arguments), load))
    return GOOD


def demo_command(arguments: argparse.Namespace) -> int:
    """Runs the demo until SIGTERM or SIGINT."""
    from exporter.commands.demo import demo  # noqa: PLC0415 - the simulator is loaded for the demo only

    async def play() -> None:
        await demo(
            flags_of(arguments),
            speed=arguments.speed,
            history=arguments.history,
            stop=on_signals("SIGTERM", "SIGINT"),
            say=say,
        )

    try:
        run_detached(play())
    except* ExporterError as group:
        raise group.exceptions[0] from None
    return GOOD


def metrics_command(_: argparse.Namespace) -> int:
    """Prints the table of all metrics."""
    say(metrics_table())
    return GOOD


def rules_command(arguments: argparse.Namespace) -> int:
    """Writes the rule files, and prints their paths."""
    files = rule_files(
        changed(Thresholds(), arguments.set),
        runbook_base_url=base_url("--runbook-base-url", arguments.runbook_base_url),
        dashboard_base_url=base_url("--dashboard-base-url", arguments.dashboard_base_url),
        exporter_base_url=base_url("--exporter-base-url", arguments.exporter_base_url),
        selector=matchers("--selector", arguments.selector),
    )
    return written(arguments.folder, lambda folder: write_rules(folder, files))


def dashboards_command(arguments: argparse.Namespace) -> int:
    """Writes the dashboards, and prints their paths."""
    texts = dashboard_files(base_url("--runbook-base-url", arguments.runbook_base_url))
    return written(arguments.folder, lambda folder: write_dashboards(folder, texts))


def written(folder: Path, write: Callable[[Path], list[Path]]) -> int:
    """Writes files into a folder and prints their paths; bad where that cannot be done."""
    try:
        paths = write(folder)
    except OSError as error:
        is_other = isinstance(error, FileExistsError | NotADirectoryError)
        complain(f"cannot write to {folder}: {'not a folder' if is_other else error.strerror}")
        return BAD
    for path in paths:
        say(str(path))
    return GOOD


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Reads the settings, sets up logging by them, and warns of variables that no setting knows."""
    settings = load_settings(flags_of(arguments), os.environ)
    configure_logging(settings.log_level, settings.log_format)
    for line in unknown_variables(os.environ):
        structlog.get_logger().warning("unknown_variable", message=line)
    for line in undocumented_job_types(settings):
        structlog.get_logger().warning("undocumented_job_type", message=line)
    return settings


def tell_ledger(path: str) -> None:
    """Logs which file is about to be written to: whoever wants to see some metrics may not think of one."""
    if path != IN_MEMORY:
        hint = f"--ledger-path {IN_MEMORY} keeps nothing"
        structlog.get_logger().info("ledger", path=str(Path(path).absolute()), hint=hint)


def on_signals(*names: str) -> asyncio.Event:
    """Returns an event that these signals set, as far as the system has them."""
    event = asyncio.Event()
    for name in names:
        with suppress(AttributeError, NotImplementedError):  # Windows: Ctrl+C arrives as KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), event.set)
    return event


def say(text: str) -> None:
    """Prints a line of a command's result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Prints what went wrong."""
    sys.stderr.write(f"ims-exporter: {text}\n")


def _add_load_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("expected load of each target")
    count = whole_number(0, MOST_JOBS)
    group.add_argument("--open-jobs", type=count, default=100, metavar="N", help="jobs open at a time (100)")
    group.add_argument("--jobs-per-day", type=count, default=5000, metavar="N", help="new jobs a day (5000)")
    group.add_argument("--failure-ratio", type=number(0, 1), default=0.02, metavar="R", help="share that fails (0.02)")


def _add_rules_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", default=Path("rules"), help="where to write to (rules)")
    parser.add_argument(
        "--selector", default="", metavar="MATCHERS", help='of the scrape target, such as namespace="media"'
    )
    _add_base_url(parser, "runbook", RUNBOOK_BASE_URL, "where the runbooks are, for runbook_url")
    _add_base_url(parser, "dashboard", DASHBOARD_BASE_URL, "where Grafana has its dashboards, for dashboard_url")
    _add_base_url(parser, "exporter", EXPORTER_BASE_URL, "where people open the exporter's pages, for failures_url")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER", help="change a threshold; may be repeated"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"thresholds:\n{listing(Thresholds())}".replace("%", "%%")


def _add_dashboards_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("dashboards"), help="where to write to (dashboards)"
    )
    _add_base_url(parser, "runbook", RUNBOOK_BASE_URL, "where the runbooks are, for the links of the panels")


def _add_base_url(parser: argparse.ArgumentParser, page: str, default: str, text: str) -> None:
    parser.add_argument(f"--{page}-base-url", default=default, metavar="URL", help=f"{text} ({default})")
