"""Deterministic sample data, bulk loaded through the repositories."""

from app.seed.command import SeededLogin, seed, seed_small_once

__all__ = ["SeededLogin", "seed", "seed_small_once"]
