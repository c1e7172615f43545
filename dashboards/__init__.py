"""Makes the Grafana dashboards under manifests/grafana/dashboards/: `python -m dashboards`."""
