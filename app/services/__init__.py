"""Rules in plain Python: commands in, records out. A service checks a rule, opens a transaction, touches two
stores or emits an event; what does none of these is read by the view from the port itself.
"""
