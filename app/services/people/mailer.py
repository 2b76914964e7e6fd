"""The port that sends mail, and a mailer for development that prints it. `smtp.py` sends mail."""

import sys
from abc import abstractmethod
from typing import Protocol, TextIO

from msgspec import Struct


class Mail(Struct, frozen=True):
    """Plain text. `to` is an address without a name."""

    to: str
    subject: str
    text: str


class Undeliverable(Exception):
    """The server will never accept this mail, or not for this recipient."""


class Mailer(Protocol):
    @abstractmethod
    def send(self, mail: Mail) -> None:
        """Returns once a server has accepted the mail. Raises `Unavailable` within the deadline, `Undeliverable`."""


class PrintingMailer(Mailer):
    """Prints mails instead of sending them, for development. `stream` is standard error by default."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send(self, mail: Mail) -> None:
        print(f"\nTo: {mail.to}\nSubject: {mail.subject}\n\n{mail.text}", file=self._stream or sys.stderr, flush=True)
