"""The HTTP client for receivers of webhooks, the search service and the metrics of relays. Exchanges have deadlines."""
