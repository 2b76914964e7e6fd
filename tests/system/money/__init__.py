"""Money, stock and orders, proved by what clients see.

`QUARTET_BANK_SECONDS` (12), `QUARTET_LAST_UNIT_ROUNDS` (10) and `QUARTET_MACHINE_EXAMPLES` (40) make them longer.
"""
