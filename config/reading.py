"""Declares settings as dataclass fields, and reads them from the environment."""

from collections.abc import Callable
from dataclasses import Field, field
from ipaddress import ip_address
from typing import Any

import environs
from environs import validate


def setting(default: Any, about: str, *checks: Any, kind: type | None = None) -> Any:
    return field(default=default, metadata={"about": about, "checks": checks, "kind": kind or type(default)})


def at_least(low: float) -> validate.Range:
    return validate.Range(min=low)


def nothing_or(check: validate.Validator) -> Callable[[str], None]:
    """Apply `check` unless the setting is empty."""

    def checked(text: str) -> None:
        if text:
            check(text)

    return checked


def is_ip_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        raise environs.ValidationError("Must be an IP address.") from None


def listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def read(env: environs.Env, setting_field: Field[Any]) -> Any:
    about = setting_field.metadata
    reader = getattr(env, about["kind"].__name__)
    return reader(setting_field.name.upper(), setting_field.default, validate=list(about["checks"]))


def platform_port() -> dict[str, int]:
    """The setting `port` from `PORT`, which platforms and `make run` set; empty if it is not set."""
    port = environs.Env().int("PORT", None, validate=[validate.Range(min=1, max=65535)])
    return {} if port is None else {"port": port}
