"""Compression of page bodies. `app/http/edge/content_coding.py` reads which coding a request accepts."""

import sys
import zlib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Smaller bodies fit into one packet, and compressing them would cost more than it saves.
LEAST_BYTES = 1000
# The one that is smaller and faster comes first.
CODINGS = ("zstd", "gzip")
# The last levels before a small gain costs much more time (docs/decisions/0020-compression.md).
ZSTD_LEVEL, GZIP_LEVEL = 3, 3
_GZIP_FORM = 16 + zlib.MAX_WBITS


def coded(body: bytes, coding: str) -> bytes:
    """Deterministic: the time in gzip's header is 0."""
    if coding == "zstd":
        return zstd.compress(body, ZSTD_LEVEL)
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORM)
    return packer.compress(body) + packer.flush()


def all_coded(body: bytes) -> dict[str, bytes]:
    """The body in every coding; empty for a small body."""
    return {coding: coded(body, coding) for coding in CODINGS} if len(body) >= LEAST_BYTES else {}
