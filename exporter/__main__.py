"""The entry point of the command `ims-exporter`, and of `python -m exporter`."""

import signal


def main() -> None:
    """Runs the command line.

    SIGHUP is blocked before anything else is imported, which takes most of the start: `run` reloads its configuration
    then, once it can, and is not killed. Other commands unblock it.
    """
    if hasattr(signal, "SIGHUP"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from exporter.commands.cli import main as run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
