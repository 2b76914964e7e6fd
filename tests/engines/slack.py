"""How much later than its deadline, of about half a second, a call may end in a test.

It tells a deadline that holds from one that does not: without it the drivers wait ten seconds, thirty or for ever.
It is no measurement, for machines are busy; how often a store is asked is counted elsewhere.
"""

SLACK = 4.0
