"""Which currencies there are: those of ISO 4217 that have a minor unit, for amounts are counted in it.

Gold (XAU), the code for tests (XTS) and the one for no currency (XXX) have none.
"""

import functools
from collections.abc import Mapping


@functools.cache
def exponents() -> Mapping[str, int]:
    """By code, how many decimals the minor unit is: 2 for EUR, 0 for JPY."""
    # The package reads a list in XML when it is imported, a hundredth of a server's start.
    from iso4217 import Currency

    return {one.code: one.exponent for one in Currency if one.exponent is not None}
