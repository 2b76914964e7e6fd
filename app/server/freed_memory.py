"""Configures which freed memory glibc returns to the system."""

import ctypes

# `M_MMAP_THRESHOLD` of glibc's malloc.h, and the size in bytes from which on a block is mapped separately.
_M_MMAP_THRESHOLD, LARGE = -3, 4 << 20


def return_large_blocks() -> None:
    """Return freed blocks of at least `LARGE` bytes to the system, even those that are needed again and again.

    By default glibc raises the threshold to the size of the largest block freed, and keeps smaller blocks in the arena:
    after some sign-ins, each thread would hold the 19 MiB of a password hash for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Only glibc has it; musl does not keep such blocks.
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
