"""Prometheus and Grafana beside Trunkline: their dashboards, starting Prometheus, and plots of what it has gathered."""
