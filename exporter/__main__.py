"""`python -m exporter` is the command `ims-exporter`."""

from exporter.commands.cli import main

main()
