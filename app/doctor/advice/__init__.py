"""Advice by rules over measurements: statistics of the engines and our own metrics."""

from app.doctor.advice.command import advice

__all__ = ["advice"]
