"""Measurements. Each prints its figures beside those of a yardstick that was measured in the same run."""
