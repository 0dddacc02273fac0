"""The generated files of the Helm chart: README, schema of the values, rules, dashboards, and the versions."""
