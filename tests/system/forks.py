"""Processes that die in tests, forked from one that is warm, so that they live long enough to work.

That one is the same for all tests of a run, and so is what it loads.
"""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.system.warm"])
