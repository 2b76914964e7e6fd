"""Proofs about feeds as readers see them, and about sinks, named after Jepsen's checkers set-full and total-queue."""
