"""How much later than its deadline a call may end in a test: 100 ms are ours, the rest is for a busy machine."""

SLACK = 0.4
