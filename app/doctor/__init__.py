"""Checks a running system for drift and repairs it; audits the ledger; gives advice from measurements."""

from app.doctor.advice import advice
from app.doctor.drift import Drift
from app.doctor.findings import Report

__all__ = ["Drift", "Report", "advice"]
