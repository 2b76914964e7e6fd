"""The currencies: those of ISO 4217 that have a minor unit, since amounts are counted in it.

Gold (XAU), the code for tests (XTS) and the one for no currency (XXX) have none.
"""

import functools
from collections.abc import Mapping


@functools.cache
def exponents() -> Mapping[str, int]:
    """The number of decimals of the minor unit, by currency code: 2 for EUR, 0 for JPY."""
    # Imported late: the package parses an XML file on import, which takes a hundredth of a server's start.
    from iso4217 import Currency

    return {one.code: one.exponent for one in Currency if one.exponent is not None}
