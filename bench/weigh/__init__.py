"""What each of our own parts saves on the route it serves, beside the ordinary way to do the same."""
