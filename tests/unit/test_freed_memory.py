"""The memory of password hashes is returned: the threads that answered sign-ins do not keep it."""

import platform
import subprocess
import sys

import pytest

MB = 1 << 20
# Four concurrent threads, so each has its own arena. By default the first hash of each would make glibc keep the block.
HASHED = """
import threading
from pathlib import Path
from app.server.freed_memory import return_large_blocks
from app.services.people.passwords import MEMORY_COST, Argon2Hasher

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def sign_in():
    together.wait()
    for _ in range(3):
        hasher.hash("a password")
    together.wait()

return_large_blocks()
hasher, together = Argon2Hasher(4), threading.Barrier(5)
before = resident()
threads = [threading.Thread(target=sign_in) for _ in range(4)]
for thread in threads:
    thread.start()
together.wait()
together.wait()
print(resident() - before)
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_the_memory_of_a_hash_is_returned() -> None:
    """Without `return_large_blocks` each of these threads keeps 19 MiB."""
    done = subprocess.run([sys.executable, "-c", HASHED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 * MB
