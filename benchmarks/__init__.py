"""Benchmarks of the exporter, against the simulator and the official SDK: `python -m benchmarks`."""
