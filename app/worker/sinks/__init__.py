"""Events that leave the system: which, in which envelope, and how they get to the sinks."""
