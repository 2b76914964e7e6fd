"""The sink for receivers of webhooks."""
