"""The alert rules of deploy/prometheus, tested by promtool's clock, and in a real Prometheus with faulty systems."""
