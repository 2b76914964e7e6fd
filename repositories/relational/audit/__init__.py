"""Checks of the relational store for `quartet doctor`."""
