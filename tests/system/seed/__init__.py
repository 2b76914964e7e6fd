"""The seed command: the same data every time, whole after any interruption, and honest when it verifies itself."""
