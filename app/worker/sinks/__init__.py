"""Sends the event log to the sinks: brokers and receivers of webhooks."""
