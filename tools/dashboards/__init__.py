"""The Grafana dashboards as code; `python -m tools.dashboards` writes what the package ships as JSON."""
