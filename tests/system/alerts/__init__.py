"""The rules of deploy/prometheus: by promtool's clock, and in a real Prometheus beside a system with a fault."""
