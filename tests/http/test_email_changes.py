"""Changing the own e-mail address, and the tokens that were mailed before."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from app.errors import WrongPassword
from app.services.people.email_changes import SUBJECT, WORTH_SENDING
from app.services.people.mail_delivery import AWAY
from config import Settings
from tests.apps import PASSWORD, RELATIONAL, System, embedded, running
from tests.http.mail_world import NEW, MailWorld, forgot, reset, signs_in

PATH = "/accounts/me/email"
OTHER = "ada@example.org"
CHANGE = {"password": PASSWORD, "email": OTHER}
PASSWORDS = {"current_password": PASSWORD, "new_password": "eight green herons"}


def verify(mail_world: MailWorld, token: str, status: int = 204) -> Any:
    return mail_world.system.anybody().post("/email-verifications/confirm", {"token": token}, status)


def own(who: Any) -> tuple[str, bool]:
    account = who.get("/accounts/me")["account"]
    return account["email"], account["email_verified"]


@pytest.mark.parametrize("settings", RELATIONAL, indirect=True)
def test_the_new_address_counts_and_is_unverified(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    ada.post("/accounts/me/email-verification", None, 204)
    verify(mail_world, mail_world.mailed())
    assert own(ada) == ("ada@example.com", True)
    ada.put(PATH, CHANGE)
    assert own(ada) == (OTHER, False)
    mail_world.drained()
    mail = mail_world.kept.mails[-1]
    assert (mail["To"], mail["Subject"]) == ("ada@example.com", SUBJECT)
    assert OTHER not in mail.get_content(), "the former reader need not know it"
    anybody = mail_world.system.anybody()
    anybody.post("/sessions", {"login": "ada@example.com", "password": PASSWORD}, 401)
    anybody.post("/sessions", {"login": OTHER, "password": PASSWORD})
    ada.post("/accounts/me/email-verification", None, 204)
    token = mail_world.mailed()
    assert mail_world.kept.mails[-1]["To"] == OTHER
    verify(mail_world, token)
    assert own(ada) == (OTHER, True)


def test_a_change_done_again_does_nothing(mail_world: MailWorld) -> None:
    """As a client repeats it whose answer was lost."""
    ada = mail_world.system.person("ada")
    for _ in range(2):
        ada.put(PATH, CHANGE)
    mail_world.drained()
    assert len(mail_world.kept.mails) == 1


def test_an_address_in_use_says_no_more_than_on_registration(mail_world: MailWorld) -> None:
    ada, bob = mail_world.system.person("ada"), mail_world.system.person("bob")
    registration = {"handle": "eve", "email": "BOB@example.com", "password": PASSWORD, "display_name": "Eve"}
    answers = [ada.put(PATH, CHANGE | {"email": "BOB@example.com"}, 409)]
    answers += [mail_world.system.anybody().post("/accounts", registration, 409)]
    for answer in answers:
        del answer["request_id"]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "email_taken"
    mail_world.drained()
    assert (own(ada)[0], own(bob)[0], mail_world.kept.mails) == ("ada@example.com", "bob@example.com", [])


def test_the_former_address_is_free(mail_world: MailWorld) -> None:
    ada, bob = mail_world.system.person("ada"), mail_world.system.person("bob")
    ada.put(PATH, CHANGE)
    bob.put(PATH, CHANGE | {"email": "ada@example.com"})


def test_a_wrong_password_changes_nothing(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    assert ada.put(PATH, CHANGE | {"password": "wrong password"}, 403)["code"] == "wrong_password"
    mail_world.drained()
    assert (own(ada)[0], mail_world.kept.mails) == ("ada@example.com", [])


@pytest.mark.parametrize("email", ["", "ada", None, "=?utf-8?q?ada?=@example.com", "a@example.com\nBcc: e@e.com"])
def test_invalid_addresses_are_refused(system: System, email: str | None) -> None:
    problem = system.person().put(PATH, CHANGE | {"email": email}, 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/email"]


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("=?utf-8?q?ada?=@example.com", "without quotes and encoded words"),
        ('"ada b"@example.com', "without quotes and encoded words"),
        ("\uff41da@example.com", "(Unicode NFKC changes it)"),
        ("ada@[192.0.2.1]", "whose host is a domain name"),
        ("ada", "Not a valid email address."),
    ],
)
def test_the_reason_why_an_address_is_refused_is_its_own(system: System, email: str, reason: str) -> None:
    problem = system.person().put(PATH, CHANGE | {"email": email}, 422)
    assert reason in problem["errors"][0]["detail"]


def test_changing_needs_a_session(system: System) -> None:
    assert system.anybody().put(PATH, CHANGE, 401)["code"] == "unauthenticated"


def test_a_stolen_session_cannot_guess_the_password(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"login_failures": 2})) as system:
        ada = system.person("ada")
        for _ in range(2):
            ada.put(PATH, CHANGE | {"password": "wrong password"}, 403)
        assert ada.put(PATH, CHANGE, 429)["code"] == "too_many_requests"


def test_repeated_changes_are_limited(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    for n in range(5):
        ada.put(PATH, CHANGE | {"email": f"victim{n}@example.com"})
    assert ada.put(PATH, CHANGE, 429)["code"] == "too_many_requests"


@pytest.mark.parametrize("change", [(PATH, CHANGE), ("/accounts/me/password", PASSWORDS)], ids=["address", "password"])
def test_tokens_that_were_mailed_before_a_change_do_not_work(mail_world: MailWorld, change: tuple[str, Any]) -> None:
    ada = mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    resetting = mail_world.mailed()
    ada.post("/accounts/me/email-verification", None, 204)
    verifying = mail_world.mailed()
    ada.put(*change)
    assert reset(mail_world, resetting, 403)["code"] == "wrong_mail_token"
    verify(mail_world, verifying, 403)
    assert own(ada)[1] is False


def test_a_reset_ends_the_token_that_verifies(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    ada.post("/accounts/me/email-verification", None, 204)
    verifying = mail_world.mailed()
    forgot(mail_world, "ada@example.com")
    reset(mail_world, mail_world.mailed())
    verify(mail_world, verifying, 403)


def test_mail_that_is_under_way_while_the_address_changes_goes_to_the_new_one(mail_world: MailWorld) -> None:
    """The relay has read the former address, but has not stored the token yet."""
    ada = mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    delivery = mail_world.system.container.people.mailed_tokens._delivery

    changes = [lambda: ada.put(PATH, CHANGE)]

    def overtaken() -> None:
        while changes:
            changes.pop()()

    with patch.object(delivery, "check", overtaken):
        mail_world.drained()
    reset(mail_world, mail_world.mailed())
    assert [mail["To"] for mail in mail_world.kept.mails if mail["Subject"] != SUBJECT] == [OTHER]
    signs_in(mail_world, NEW)


def test_the_mail_is_retried_and_finally_given_up(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    mail_world.kept.answer = "451 later"
    ada.put(PATH, CHANGE)
    mail_world.drained()
    mail_world.kept.answer = "250 kept"
    mail_world.clock.ahead += AWAY + timedelta(seconds=1)
    mail_world.drained()
    assert len(mail_world.kept.mails) == 1
    mail_world.kept.answer = "451 later"
    ada.put(PATH, CHANGE | {"email": "ada@example.net"})
    mail_world.drained()
    mail_world.kept.answer = "250 kept"
    mail_world.clock.ahead += WORTH_SENDING
    mail_world.drained()
    assert len(mail_world.kept.mails) == 1
    assert mail_world.system.container.stores.relational.outbox.backlog().unsent == 0


def test_without_mail_the_address_changes_too(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"mail_url": "none://"})) as system:
        ada = system.person("ada")
        ada.put(PATH, CHANGE)
        system.relay.drain()
        assert own(ada) == (OTHER, False)
        assert system.container.stores.relational.outbox.backlog().unsent == 0


def test_a_password_changed_meanwhile_is_wrong(system: System) -> None:
    ada = system.person("ada")
    people = system.container.people
    verify: Any = people.hasher.verify

    def overtaken(digest: str | None, password: str) -> bool:
        with patch.object(people.hasher, "verify", verify):
            ada.put("/accounts/me/password", PASSWORDS)
        return bool(verify(digest, password))

    with patch.object(people.hasher, "verify", overtaken), pytest.raises(WrongPassword):
        people.email_changes.change(UUID(ada.account["id"]), PASSWORD, OTHER)
    assert own(ada)[0] == "ada@example.com"
