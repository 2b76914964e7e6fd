"""Events to Kafka."""
