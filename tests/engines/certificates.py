"""Makes a key with a self-signed certificate for localhost and 127.0.0.1."""

import shutil
import subprocess
from pathlib import Path

from .process import EngineMissing

_MADE = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"]
_NAMES = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]


def certificate(folder: Path) -> None:
    """Make `key.pem`, `ca.pem` (also the certificate) and `both.pem`."""
    binary = shutil.which("openssl")
    if binary is None:
        raise EngineMissing("openssl", "the distribution's package openssl")
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run([binary, *_MADE, *_NAMES, *files], check=True, capture_output=True, timeout=60)
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "ca.pem").read_text())
