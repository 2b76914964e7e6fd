"""Processes that die in tests. They are forked from one that has loaded everything, so that they start fast.

All tests of a run share that process and what it loads.
"""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.system.warm"])
