"""The known currencies."""

from app.currencies import exponents


def test_exponents_are_those_of_iso_4217() -> None:
    known = {"EUR": 2, "USD": 2, "JPY": 0, "BHD": 3, "CLF": 4}
    assert {code: exponents()[code] for code in known} == known
    assert set(exponents().values()) == {0, 2, 3, 4}


def test_codes_without_minor_unit_and_former_ones_are_unknown() -> None:
    assert exponents().keys().isdisjoint({"XAU", "XDR", "XTS", "XXX", "DEM", "HRK", "ABC", "eur", ""})
