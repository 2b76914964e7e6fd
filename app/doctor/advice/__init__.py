"""Advice from measurement: what the engines and our own series say, judged by rules."""

from app.doctor.advice.command import advice

__all__ = ["advice"]
