"""The seconds by which a call may exceed its deadline in a test; the deadlines are about half a second.

It distinguishes a working deadline from a missing one: without it the drivers wait ten seconds, thirty or forever. It
does not measure latency, since test machines are busy; the number of store calls is tested elsewhere.
"""

SLACK = 4.0
