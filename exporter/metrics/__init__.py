"""Metrics: the table that declares them, the counters of the process, and the exposition of both."""
