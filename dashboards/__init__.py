"""The Grafana dashboards as code; `python -m dashboards` writes what the package ships as JSON."""
