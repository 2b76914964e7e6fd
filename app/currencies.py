"""Which currencies there are: those of ISO 4217 that have a minor unit, for amounts are counted in it.

Gold (XAU), the code for tests (XTS) and the one for no currency (XXX) have none.
"""

from iso4217 import Currency

# By code, how many decimals the minor unit is: 2 for EUR, 0 for JPY.
EXPONENTS: dict[str, int] = {one.code: one.exponent for one in Currency if one.exponent is not None}
