"""Which origins can be configured: only those that a browser can send."""

import pytest

from config.cors_origins import is_origin


@pytest.mark.parametrize(
    "text",
    [
        "https://app.example.com",
        "http://localhost",
        "http://localhost:5173",
        "http://127.0.0.1:8080",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
        "https://a_b.example:65535",
        "capacitor://localhost",
        "http://example.com:443",
    ],
)
def test_origins_are_recognized(text: str) -> None:
    assert is_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "https://*",
        "https://*.example.com",
        "app.example.com",
        "https:app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?q",
        "https://app.example.com#f",
        "https://user@app.example.com",
        "https://App.example.com",
        "HTTPS://app.example.com",
        "https://app..example.com",
        "https://b\u00fccher.example",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:0",
        "https://app.example.com:08",
        "https://app.example.com:65536",
        "https://app.example.com:",
        "http://[::1",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[:::]",
        "https://app.example.com\n",
        "https://a.example https://b.example",
    ],
)
def test_other_texts_are_no_origins(text: str) -> None:
    assert not is_origin(text)
