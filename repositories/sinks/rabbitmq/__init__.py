"""Events to RabbitMQ."""
