"""The real engines as child processes on private ports, for tests and for development without containers."""

from .fleet import Engines, Fleet, Reachable
from .process import EngineFailed, EngineMissing, Server
from .shared import Shared

__all__ = ["EngineFailed", "EngineMissing", "Engines", "Fleet", "Reachable", "Server", "Shared"]
