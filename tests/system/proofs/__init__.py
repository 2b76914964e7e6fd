"""Proofs about the feed as its readers see it, named after Jepsen's checkers: set-full and total-queue."""
