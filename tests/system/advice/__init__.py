"""Tests of `quartet doctor advice`, with systems that have provoked problems, and healthy ones."""
