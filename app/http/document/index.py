"""`/`: links to the documentation, the API and the health check, for clients that know only the host."""

from importlib.metadata import version

from flask import Blueprint, Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE

blp = Blueprint("index", __name__)
LINKS = {"documentation": "/docs", "openapi": "/openapi.json", "health": "/health/ready"}
VERSION = version("quartet")


@blp.get("/")
def index() -> Response:
    return answers.plain({"name": "quartet", "version": VERSION, "base": BASE, "links": LINKS})
