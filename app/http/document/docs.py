"""`/docs`: the API's documentation by Swagger UI, whose files are in `assets/`, so that it works offline."""

from pathlib import Path

from flask import Blueprint, Response

from app.http.edge import assets

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


@blp.get("/docs")
def page() -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})


@blp.get("/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js', 'start.js'):name>")
def asset(name: str) -> Response:
    return assets.asset(ASSETS, name)
