"""Work that follows from events: the relay, its handlers, the sweeper."""
