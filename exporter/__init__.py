"""Prometheus exporter for the smart jobs of Alibaba Cloud Intelligent Media Services."""

__version__ = "0.1.0"
