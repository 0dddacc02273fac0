"""The web configuration file: TLS, users, rate limit and headers, in the format of Prometheus' exporter-toolkit."""
