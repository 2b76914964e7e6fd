"""The seconds by which a call may exceed its deadline (about half a second) in a test.

This distinguishes a working deadline from none: without one the drivers wait ten seconds, thirty or forever. It does
not measure latency, since test machines are busy; the number of store calls is tested elsewhere.
"""

SLACK = 4.0
