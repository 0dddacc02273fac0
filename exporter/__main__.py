"""`python -m exporter` is the command `ims-smartjob-exporter`."""

from exporter.cli import main

main()
