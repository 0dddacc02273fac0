"""Prometheus exporter for jobs of Alibaba Cloud Intelligent Media Services."""

__version__ = "0.1.0"
