"""Names of HTTP statuses by RFC 9110. Python renamed two between versions, but the API document must stay the same."""

from http import HTTPStatus

RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}


def phrase(status: int) -> str:
    return RENAMED.get(status) or HTTPStatus(status).phrase


def component(status: int) -> str:
    """The name of the status in the API document's `components/responses`."""
    return phrase(status).upper().replace(" ", "_").replace("'", "").replace("-", "_")
