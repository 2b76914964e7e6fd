"""Rules of the router that are made in a quarter of the time."""

from collections.abc import Callable
from functools import cache
from typing import Any

from werkzeug.routing import Rule

Built = tuple[str, str]


class MatchingRule(Rule):
    """Compiles what builds a URL of the rule when that is first asked for, as `url_for` does, which nothing here uses.

    Werkzeug compiles two functions for each rule, which was most of the time to make an application.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., Built]:  # noqa: FBT001, FBT002 - werkzeug's signature
        compiled = cache(super()._compile_builder)

        def build(rule: Rule, /, **values: Any) -> Built:
            return compiled(append_unknown)(rule, **values)

        return build
