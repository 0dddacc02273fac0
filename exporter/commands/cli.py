"""The command line: its parser, and the exit code of a command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.arguments import Parser, number, whole_number
from exporter.commands.check import check_command
from exporter.commands.dashboards import add_dashboards_flags, dashboards_command
from exporter.commands.health import add_health_flags, health_command
from exporter.commands.metrics import metrics_command
from exporter.commands.once import once_command
from exporter.commands.output import print_error
from exporter.commands.plan import add_load_flags, plan_command
from exporter.commands.rules import add_rules_flags, rules_command
from exporter.commands.run import run_command
from exporter.commands.startup import unblock
from exporter.config.sources import add_setting_flags
from exporter.errors import ExporterError, SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

GOOD, BAD, MISCONFIGURED, INTERRUPTED = 0, 1, 2, 130
"""The exit codes; 130 is what a shell reports for a command that Ctrl+C ends."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 for success, 1 for failure, 2 for wrong use or configuration, 130 after Ctrl+C."""
    arguments = make_parser().arguments(sys.argv[1:] if argv is None else argv)
    if arguments.command is not run_command:
        unblock("SIGHUP")
    try:
        code = GOOD if arguments.command(arguments) else BAD
    except SettingsError as error:
        print_error(str(error))
        code = MISCONFIGURED
    except ExporterError as error:
        print_error(f"{error}; {error.hint}" if error.hint else str(error))
        code = BAD
    except KeyboardInterrupt:
        code = GOOD if arguments.command in {run_command, demo_command} else INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has stopped reading
        _discard_output()
        code = GOOD
    except OSError as error:
        print_error(f"{error.strerror}: {error.filename or 'the output'}")
        _discard_output()
        code = BAD
    sys.exit(code)


def make_parser() -> Parser:
    """Returns the parser of all commands."""
    settings = Parser(add_help=False)
    add_setting_flags(settings)
    parser = Parser(
        prog="ims-exporter",
        description="Prometheus exporter for jobs of Alibaba Cloud Intelligent Media Services.",
        parents=[settings],
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(command=run_command)
    commands = parser.add_commands()

    def add(
        name: str, command: Callable[[argparse.Namespace], bool], text: str, parents: Sequence[Parser] = ()
    ) -> Parser:
        added = commands.add_parser(name, help=text, description=text, parents=parents)
        added.set_defaults(command=command)
        return added

    add("run", run_command, "poll and serve until stopped (the default)", [settings])
    add("once", once_command, "poll every target one time, store the polls, and print the metrics", [settings])
    add_health_flags(add("health", health, "ask the running exporter whether it is well", [settings]))
    add("check", check_command, "check configuration, credentials and permissions of every target", [settings])
    add_load_flags(add("plan", plan_command, "estimate the API calls of a configuration without a call", [settings]))
    add_demo_flags(add("demo", demo_command, "run on a built-in simulated IMS endpoint; needs no account", [settings]))
    add("metrics", metrics_command, "print the table of all metrics")
    add_rules_flags(add("rules", rules_command, "write the bundled Prometheus rules to a folder"))
    add_dashboards_flags(add("dashboards", dashboards_command, "write the bundled Grafana dashboards to a folder"))
    return parser


def health(arguments: argparse.Namespace) -> bool:
    """Asks the running exporter."""
    return health_command(arguments, make_parser().arguments)


def add_demo_flags(parser: Parser) -> None:
    """Adds the flags of `demo`."""
    parser.add_argument("--speed", type=number(0.001, 1000), default=1.0, help="above 1: more and shorter jobs (1)")
    history = whole_number(0, 1_000_000)
    parser.add_argument("--history", type=history, default=20_000, metavar="N", help="ended jobs at the start (20000)")


def demo_command(arguments: argparse.Namespace) -> bool:
    """Runs the demo until SIGTERM or SIGINT."""
    from exporter.commands.demo import run_demo  # noqa: PLC0415 - only the demo imports the simulator

    return run_demo(arguments)


def _discard_output() -> None:
    """Sends what is left in the buffer of the output nowhere; Python would fail to write it at exit."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open until the process ends
