"""Deterministic sample data, by the thousand, through the same repositories as everything else."""
