"""Sending mail to a real server, with and without TLS, and its failures."""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from app.services.people.mailer import Mail, Mailer, PrintingMailer, Undeliverable
from app.services.people.mailer_by_url import open_mailer
from config import Settings
from repositories.address import BadAddress
from repositories.errors import Unavailable
from tests.mail_server import CERTIFICATE, mail_server, server_context

MAIL = Mail("ada@example.com", "A new password", "Hello @ada,\n\nGrüße.\n")
SECONDS = timedelta(seconds=5)


def mailer(url: str, timeout: timedelta = SECONDS) -> Mailer:
    found = open_mailer(url, sender="Quartet <noreply@example.com>", timeout=timeout)
    assert found is not None
    return found


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine trust the certificate of the test's server."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


def test_a_mail_arrives_as_it_was_written() -> None:
    with mail_server() as (kept, port):
        mailer(f"smtp://localhost:{port}?starttls=false").send(MAIL)
    (mail,) = kept.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == (MAIL.to, "Quartet <noreply@example.com>", MAIL.subject)
    assert mail.get_content() == MAIL.text
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail["Date"]
    assert kept.encrypted == [False]


@pytest.mark.usefixtures("trusted")
def test_it_is_encrypted_by_default() -> None:
    with mail_server(tls_context=server_context(), require_starttls=True) as (kept, port):
        mailer(f"smtp://localhost:{port}").send(MAIL)
    assert kept.encrypted == [True]


@pytest.mark.usefixtures("trusted")
def test_smtps_is_encrypted_from_the_first_byte() -> None:
    with mail_server(ssl_context=server_context()) as (kept, port):
        mailer(f"smtps://localhost:{port}").send(MAIL)
    assert kept.encrypted == [True]


def test_a_server_that_cannot_be_trusted_gets_nothing() -> None:
    with mail_server(tls_context=server_context()) as (kept, port), pytest.raises(Unavailable):
        mailer(f"smtp://localhost:{port}").send(MAIL)
    assert kept.mails == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused() -> None:
    with mail_server(ssl_context=server_context()) as (kept, port), pytest.raises(Unavailable):
        mailer(f"smtps://127.0.0.1:{port}").send(MAIL)
    assert kept.mails == []


def test_a_server_without_starttls_gets_nothing_in_the_clear() -> None:
    with mail_server() as (kept, port), pytest.raises(Unavailable):
        mailer(f"smtp://localhost:{port}").send(MAIL)
    assert kept.mails == []


@pytest.mark.usefixtures("trusted")
def test_the_mailer_signs_in_as_the_url_says() -> None:
    def known(server: object, session: object, envelope: object, mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"ada", b"p@ss"), handled=False)

    with mail_server(tls_context=server_context(), authenticator=known, auth_required=True) as (kept, port):
        mailer(f"smtp://ada:p%40ss@localhost:{port}").send(MAIL)
        with pytest.raises(Unavailable):
            mailer(f"smtp://ada:wrong@localhost:{port}").send(MAIL)
        with pytest.raises(Unavailable):
            mailer(f"smtp://localhost:{port}").send(MAIL)
    assert len(kept.mails) == 1


@pytest.mark.parametrize(("answer", "error"), [("550 no such user", Undeliverable), ("450 try later", Unavailable)])
def test_a_recipient_that_is_refused(answer: str, error: type[Exception]) -> None:
    with mail_server() as (kept, port):
        kept.refused = answer
        with pytest.raises(error) as caught:
            mailer(f"smtp://localhost:{port}?starttls=false").send(MAIL)
    assert MAIL.to not in str(caught.value)


@pytest.mark.parametrize("answer", ["451 later", "554 not here"])
def test_a_server_that_accepts_no_mail_is_unavailable(answer: str) -> None:
    with mail_server() as (kept, port):
        kept.answer = answer
        with pytest.raises(Unavailable):
            mailer(f"smtp://localhost:{port}?starttls=false").send(MAIL)


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    other = Mail("grüße@example.com", "s", "t")
    with mail_server(enable_SMTPUTF8=True) as (kept, port):
        mailer(f"smtp://localhost:{port}?starttls=false").send(other)
    assert kept.mails[0]["To"] == other.to
    with mail_server(enable_SMTPUTF8=False) as (_, port), pytest.raises(Undeliverable):
        mailer(f"smtp://localhost:{port}?starttls=false").send(other)


def test_line_breaks_cannot_inject_headers() -> None:
    with mail_server() as (kept, port):
        for to, subject in (("a@b.example\nBcc: eve@example.com", "s"), ("a@b.example", "s\r\nBcc: eve@example.com")):
            with pytest.raises(Undeliverable):
                mailer(f"smtp://localhost:{port}?starttls=false").send(Mail(to, subject, "t"))
    assert kept.mails == []


@pytest.mark.parametrize("to", ["=?utf-8?q?eve?=@example.com", "=?utf-8?q?eve=40example.org=2C_a?=@example.com"])
def test_a_mail_goes_to_its_address_alone(to: str) -> None:
    with mail_server() as (kept, port), pytest.raises(Undeliverable):
        mailer(f"smtp://localhost:{port}?starttls=false").send(Mail(to, "s", "t"))
    assert kept.mails == []


def test_a_closed_port_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable):
        mailer(f"smtp://127.0.0.1:{port}").send(MAIL)


@contextmanager
def dripping(greeting: bytes) -> Iterator[tuple[int, threading.Event]]:
    """A server that sends an endless greeting, byte by byte. The event is set once its client has disconnected."""
    gone, stop = threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            try:
                peer.sendall(greeting)
                while not stop.wait(0.02):
                    peer.sendall(b"x")
            except OSError:
                gone.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], gone
        stop.set()
        thread.join()


@pytest.mark.parametrize("greeting", [b"", b"220-"])
def test_one_deadline_covers_the_whole_dialogue(greeting: bytes) -> None:
    """Each byte arrives in time, but the answer never ends."""
    with dripping(greeting) as (port, gone):
        with pytest.raises(Unavailable):
            mailer(f"smtp://127.0.0.1:{port}", timedelta(seconds=0.3)).send(MAIL)
        assert gone.wait(20)


def test_the_whole_mail_is_printed() -> None:
    printed = io.StringIO()
    PrintingMailer(printed).send(MAIL)
    assert printed.getvalue() == f"\nTo: {MAIL.to}\nSubject: {MAIL.subject}\n\n{MAIL.text}\n"


def test_a_url_names_the_mailer() -> None:
    assert isinstance(mailer("print://"), PrintingMailer)
    assert open_mailer("none://", sender="q", timeout=SECONDS) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "smtp:/localhost",
        "smtp://",
        "smtp://one,two",
        "smtp://localhost/folder",
        "smtp://localhost?tls=true",
        "smtp://localhost?starttls=maybe",
        "smtps://localhost?starttls=true",
        "smtp://user:p@ss@localhost",
        "print://?x=1",
        "print",
    ],
)
def test_a_wrong_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        open_mailer(url, sender="q", timeout=SECONDS)
    assert caught.value.setting == "mail_url"
    assert "p@ss" not in str(caught.value)


def test_in_production_mail_is_printed_only_if_configured() -> None:
    assert Settings().mailer_url == "print://"
    assert Settings(env="production").mailer_url == "none://"
    assert Settings(env="production", mail_url="print://").mailer_url == "print://"
