"""What the exporter costs, measured against the simulator and the official SDK: `python -m benchmarks`."""
