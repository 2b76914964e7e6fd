"""Tests of `quartet doctor advice`: systems that are made sick on purpose, and some that are well."""
