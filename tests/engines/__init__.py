"""The real engines as child processes on private ports, for tests and for people without containers."""

from .fleet import Engines
from .process import EngineFailed, EngineMissing, Server

__all__ = ["EngineFailed", "EngineMissing", "Engines", "Server"]
