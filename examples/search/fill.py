"""Fills the index of `SEARCH_FILE` from the API at `SEARCH_QUARTET`: `python -m examples.search.fill`."""

import os

from examples.search.consumer import Consumer
from examples.search.index import Index


def main() -> None:
    index = Index(os.environ.get("SEARCH_FILE", "search.db"))
    try:
        found = Consumer(index, os.environ.get("SEARCH_QUARTET", "http://127.0.0.1:8000")).fill()
    finally:
        index.close()
    print(f"{found:,} were missing")  # noqa: T201  a command


if __name__ == "__main__":
    main()
