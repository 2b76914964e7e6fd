"""Rules of advice: which figures a rule reads, its thresholds and their reason, its text, and the command to run."""

import functools
import operator
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from repositories.observer_port import Observed, Subject

_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_BOUND = re.compile(r"(\w+) (>=|<=|==|!=) (?:(-?[\d_.]+)|(\S+))")
_SIZES = ("bytes", "kB", "MB", "GB", "TB")


class Bound(Struct, frozen=True):
    """Compares a figure with a number, or a word with a word. A figure that is not known does not hold."""

    figure: str
    sign: str
    value: float | str

    def holds(self, known: Mapping[str, float | str]) -> bool:
        found = known.get(self.figure)
        return type(found) is type(self.value) and _COMPARED[self.sign](found, self.value)


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """Applies to each subject of one `kind` and `engine`, if all bounds of `when` hold.

    The engine of our own metrics is `Quartet`. `words` and `command` are templates: `{name}` is replaced by a figure or
    word of the subject, and `{bytes!b}` by a size. `page` is a page of the documentation; a rung of the ladder is a
    section of `growing.md`.
    """

    name: str
    kind: str
    reads: str
    when: list[str]
    because: str
    words: str
    command: str
    page: str = "advice.md"
    engine: str = ""

    @property
    def bounds(self) -> list[Bound]:
        found = [_BOUND.fullmatch(text) for text in self.when]
        return [Bound(one[1], one[2], float(one[3]) if one[3] else one[4]) for one in found if one]


class _File(Struct, forbid_unknown_fields=True):
    engine: str
    rules: list[Rule]


class Advice(Struct, frozen=True):
    """The advice of one rule about one subject. `figures` are all figures of that subject."""

    rule: str
    engine: str
    place: str
    roles: tuple[str, ...]
    about: str
    words: str
    because: str
    command: str
    page: str
    figures: Mapping[str, float]


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Read the rules from the TOML files in `rules/`."""
    found = []
    for path in sorted((Path(__file__).parent / "rules").glob("*.toml")):
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
        found += [msgspec.structs.replace(rule, engine=file.engine) for rule in file.rules]
    return tuple(found)


def judged(observed: Observed, roles: Iterable[str], by: Iterable[Rule]) -> Iterator[Advice]:
    """Apply the rules of this engine, in order. Bounds may also use `serves_<role>`, which is 1 for each of `roles`."""
    roles = tuple(roles)
    serves = {f"serves_{role}": 1.0 for role in roles}
    for rule in by:
        if rule.engine == observed.engine:
            for subject in observed.subjects:
                known: dict[str, float | str] = {**serves, "name": subject.name, **subject.words, **subject.figures}
                if subject.kind == rule.kind and all(bound.holds(known) for bound in rule.bounds):
                    yield _advice(rule, observed, roles, subject, known)


def _advice(
    rule: Rule, observed: Observed, roles: tuple[str, ...], subject: Subject, known: Mapping[str, float | str]
) -> Advice:
    written = functools.partial(_Text().vformat, args=(), kwargs={"place": observed.place, **known})
    return Advice(
        rule.name,
        observed.engine,
        observed.place,
        roles,
        subject.name,
        written(rule.words),
        rule.because,
        written(rule.command),
        rule.page,
        subject.figures,
    )


class _Text(string.Formatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        return size(value) if conversion == "b" else super().convert_field(value, conversion)


def size(value: float) -> str:
    """A number of bytes with a readable unit."""
    for unit in _SIZES[:-1]:
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_SIZES[-1]}"
