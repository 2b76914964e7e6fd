"""Explains every SQL statement and every MongoDB command of the application, over the medium data set.

Everything runs once: each route, the relay, the sweeper, the doctor, a rebuild, a seed; then, directly, the methods of
the two ports that none of these calls. What is passed to the drivers is recorded with the name of the port's method,
and explained.
"""
