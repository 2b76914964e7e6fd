"""`/problems/CODE`: a page for each problem code. The `type` of a problem is its URL (RFC 9457, section 3.1.1)."""

import html

from flask import Blueprint, Response, abort

from app.http.document.problem_codes import PROBLEMS
from app.http.edge import answers
from app.services.pages.whole_pages import unversioned

blp = Blueprint("problems", __name__)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<dl>
{entries}
</dl>
</body>
</html>
"""


@blp.get("/problems")
def index() -> Response:
    return _page("Problems", sorted(PROBLEMS))


@blp.get("/problems/<code>")
def one(code: str) -> Response:
    if code not in PROBLEMS:
        abort(404)
    return _page(code, [code])


def _page(title: str, codes: list[str]) -> Response:
    entries = "\n".join(f'<dt id="{code}">{code}</dt><dd>{html.escape(PROBLEMS[code])}</dd>' for code in codes)
    body = PAGE.format(title=title, entries=entries).encode()
    return answers.checked(unversioned(body), content_type="text/html; charset=utf-8")
