"""Every SQL statement and every Mongo command of the application, explained over the medium data set.

Everything is driven once: each route, the relay, the sweeper, the doctor, a rebuild, a seed; then, directly, those
methods of the two ports that none of this comes by. What the drivers are handed is kept with the name of the port's
method that asked, and explained.
"""
