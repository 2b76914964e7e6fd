"""Live events: publishing them, and handing them to connected clients."""
