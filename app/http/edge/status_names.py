"""Names of HTTP statuses as RFC 9110 has them. Python renamed two between versions; the API document must not."""

from http import HTTPStatus

RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}


def phrase(status: int) -> str:
    return RENAMED.get(status) or HTTPStatus(status).phrase


def component(status: int) -> str:
    """The status's name among the API document's responses."""
    return phrase(status).upper().replace(" ", "_").replace("'", "").replace("-", "_")
