"""Events to receivers of webhooks."""
