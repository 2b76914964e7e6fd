"""Mail by SMTP (RFC 5321), with TLS (RFC 8314 or STARTTLS) and one deadline for the whole conversation."""

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from app.services.people.mail_addresses import in_ascii
from app.services.people.mailer import Mail, Mailer, Undeliverable
from repositories.address import BadAddress, address_of
from repositories.errors import Unavailable

PORTS = {"smtp": 587, "smtps": 465}
PERMANENT = 500


class SmtpMailer(Mailer):
    """Opens a connection for each mail, and checks the server's certificate.

    `smtp://` encrypts by STARTTLS and refuses a server that does not offer it, unless `?starttls=false`.
    """

    def __init__(self, url: str, *, sender: str, timeout: timedelta) -> None:
        address = address_of(url, options={"starttls"})
        if len(address.hosts) != 1 or address.path:
            raise BadAddress("a mail server has one host and no path")
        if address.scheme == "smtps" and address.options:
            raise BadAddress("smtps is encrypted from the start; starttls is for smtp")
        self._server = address.hosts[0]
        self._port = self._server.port or PORTS[address.scheme]
        self._implicit = address.scheme == "smtps"
        self._starttls = not self._implicit and ("starttls" not in address.options or address.flag("starttls"))
        self._login = (address.user, address.password) if address.user else None
        self._sender = sender
        self._seconds = timeout.total_seconds()
        self._context = ssl.create_default_context()

    def send(self, mail: Mail) -> None:
        try:
            message = self._message(mail)
        except ValueError as error:
            raise Undeliverable("it cannot be written into a header") from error
        try:
            with self._conversation() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            ((code, _),) = refused.recipients.values()
            raise Undeliverable(str(code)) if code >= PERMANENT else Unavailable("mail", str(code)) from refused
        except smtplib.SMTPNotSupportedError as unable:
            if message["To"].isascii():
                raise Unavailable("mail", str(unable)) from unable
            raise Undeliverable("the server takes no such address") from unable
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable("mail", type(error).__name__) from error

    def _message(self, mail: Mail) -> EmailMessage:
        message, to = EmailMessage(), in_ascii(mail.to)
        message["From"], message["To"], message["Subject"] = self._sender, to, mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2].rstrip(">") or None)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        # Header objects decode encoded words and write the result unquoted, which may be another recipient.
        if [one.addr_spec for one in message["To"].addresses] != [to]:
            raise ValueError
        return message

    @contextlib.contextmanager
    def _conversation(self) -> Iterator[smtplib.SMTP]:
        server: smtplib.SMTP = smtplib.SMTP(timeout=self._seconds)
        if self._implicit:
            server = smtplib.SMTP_SSL(timeout=self._seconds, context=self._context)
        # The library's timeout is for each read: a server that sends a byte now and then would never time out.
        end = threading.Timer(self._seconds, _cut, (server,))
        end.daemon = True
        end.start()
        try:
            server._host = self._server.name  # type: ignore[attr-defined]  # noqa: SLF001  what TLS compares with
            server.connect(self._server.name, self._port)
            if self._starttls:
                server.starttls(context=self._context)
            if self._login:
                server.login(*self._login)
            yield server
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            end.cancel()
            server.close()


def _cut(server: smtplib.SMTP) -> None:
    """Shut the connection down, so that a pending read gets end of file."""
    with contextlib.suppress(OSError):
        if server.sock is not None:
            server.sock.shutdown(socket.SHUT_RDWR)
