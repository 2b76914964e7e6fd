"""One module per resource. What is documented under one heading shares a blueprint."""
