"""The data types of the ports: immutable, typed, without behaviour.

Times are aware datetimes in UTC with microseconds. Ids of things ordered by time are UUIDv7 (RFC 9562), so that
comparing ids compares age. Money is integer minor units with an ISO 4217 code.
"""
