"""Deterministic sample data, by the thousand, through the same repositories as everything else."""

from app.seed.command import SeededLogin, seed, seed_small_once

__all__ = ["SeededLogin", "seed", "seed_small_once"]
