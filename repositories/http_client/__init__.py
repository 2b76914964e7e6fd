"""HTTP to others: receivers of webhooks, a search, the metrics of relays. Every exchange has one deadline."""
