"""The seed command: it is deterministic, completes after any interruption, and verification finds all differences."""
