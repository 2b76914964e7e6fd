"""Business rules in plain Python: commands in, records out. A service checks a rule, opens a transaction, uses two
stores or emits an event. A view reads anything simpler from the port directly.
"""
