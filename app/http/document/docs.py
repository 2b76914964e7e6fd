"""`/docs`: the API's documentation, with Swagger UI's files shipped in `assets/`, so that it works offline."""

import functools
from pathlib import Path

from flask import Blueprint, Response

from app.http.edge import answers
from app.services.pages.whole_pages import WholePage, unversioned

blp = Blueprint("docs", __name__, static_folder=None)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quartet API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
ASSETS = Path(__file__).parent / "assets"
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


@blp.get("/docs")
def page() -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})


@blp.get("/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js', 'start.js'):name>")
def asset(name: str) -> Response:
    return answers.checked(_asset(name), content_type=TYPES[Path(name).suffix])


@functools.cache
def _asset(name: str) -> WholePage:
    """Read once, and compressed once in each coding that somebody asks for."""
    return unversioned((ASSETS / name).read_bytes())
