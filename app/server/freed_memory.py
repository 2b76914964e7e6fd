"""What of the memory that was freed goes back to the system."""

import ctypes

# Of glibc's malloc.h, and the size from which on a block is one of its own.
_M_MMAP_THRESHOLD, LARGE = -3, 4 << 20


def return_large_blocks() -> None:
    """Also the ones that are needed again and again. glibc keeps what is as large as a block that was freed before, in
    each arena: after some sign-ins each thread would hold the 19 MiB of a password's hash for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Other libraries have other ways, and musl keeps none.
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
