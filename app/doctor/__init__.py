"""Looking into a running system, and mending it."""

from app.doctor.advice import advice
from app.doctor.drift import Drift
from app.doctor.findings import Report

__all__ = ["Drift", "Report", "advice"]
