"""Choice of the mailer by URL."""

from datetime import timedelta

from app.services.people.mailer import Mailer, PrintingMailer
from repositories.address import BadAddress, address_of, addressed


@addressed("mail")
def open_mailer(url: str, *, sender: str, timeout: timedelta) -> Mailer | None:
    """`print://`, `none://` (None), `smtp://` (STARTTLS) or `smtps://`: see `docs/mail.md`. Raises `BadAddress`."""
    scheme = url.partition(":")[0]
    if scheme in {"smtp", "smtps"}:
        from app.services.people.smtp import SmtpMailer

        return SmtpMailer(url, sender=sender, timeout=timeout)
    if scheme not in {"print", "none"}:
        raise BadAddress("the scheme must be one of smtp, smtps, print, none")
    address_of(url)
    return PrintingMailer() if scheme == "print" else None
