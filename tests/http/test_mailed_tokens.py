"""A new password and a verified address by mail, over a real mail server."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from app.services.people.mail_delivery import AWAY
from app.services.people.mailed_tokens import LIFETIME
from config import Settings
from repositories.errors import Unavailable
from tests.apps import PASSWORD, RELATIONAL, System, embedded, running
from tests.http.mail_world import NEW, MailWorld, forgot, reset, signs_in
from tests.http.world import ShiftedClock, World
from tests.mail_server import mail_server

A_MOMENT = timedelta(seconds=1)
TRIPS = re.compile(r'(\w+);dur=[^;]+;desc="(\d+) round')


@pytest.mark.parametrize("settings", RELATIONAL, indirect=True)
def test_a_forgotten_password_is_reset_once(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    other = signs_in(mail_world, PASSWORD)
    forgot(mail_world, "ADA@example.com")
    token = mail_world.mailed()
    (mail,) = mail_world.kept.mails
    assert (mail["To"], mail["From"]) == ("ada@example.com", "quartet@localhost")
    assert "@ada" in mail.get_content()
    assert signs_in(mail_world, PASSWORD), "nothing has changed yet"
    reset(mail_world, token)
    assert [who.get("/accounts/me", 401)["code"] for who in (ada, other)] == ["invalid_token"] * 2
    signs_in(mail_world, PASSWORD, 401)
    again = signs_in(mail_world, NEW)
    mail_world.drained()
    assert again.get("/accounts/me")["account"]["email_verified"] is True, "the mail has come to its reader"
    assert reset(mail_world, token, 403, "eight green herons")["code"] == "wrong_mail_token"
    signs_in(mail_world, NEW)


def test_an_unknown_address_is_answered_alike(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    mail_world.drained()
    answers, costs = [], []
    for email in ("ada@example.com", "nobody@example.com"):
        answer = forgot(mail_world, email)
        answers.append({k: v for k, v in answer.headers.items() if k not in {"X-Request-Id", "Server-Timing"}})
        costs.append(TRIPS.findall(answer.headers["Server-Timing"]))
    assert answers[0] == answers[1]
    assert costs[0] == costs[1] != []
    assert len(mail_world.carried()) == 1


def test_nothing_is_sent_before_the_answer(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    assert mail_world.kept.mails == []
    assert len(mail_world.carried()) == 1


def test_only_the_digest_is_stored(mail_world: MailWorld, tmp_path: Path) -> None:
    mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    token = mail_world.mailed().encode()
    for file in tmp_path.glob("quartet.db*"):
        assert token not in file.read_bytes(), file


def test_a_token_expires_and_a_later_one_replaces_it(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    for _ in range(2):
        forgot(mail_world, "ada@example.com")
    former, last = mail_world.carried()
    assert reset(mail_world, former, 403)["code"] == "wrong_mail_token"
    mail_world.clock.ahead += LIFETIME["reset"]
    assert reset(mail_world, last, 403)["code"] == "wrong_mail_token"
    signs_in(mail_world, PASSWORD)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"new_password": "password1"}, "/new_password"),
        ({"new_password": "ada@example.com"}, "/new_password"),
        ({"new_password": "short"}, "/new_password"),
        ({"token": ""}, "/token"),
        ({"token": None}, "/token"),
    ],
)
def test_a_refused_password_leaves_the_token(mail_world: MailWorld, body: dict[str, Any], pointer: str) -> None:
    mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    token = mail_world.mailed()
    good = {"token": token, "new_password": NEW}
    problem = mail_world.system.anybody().post("/password-resets/confirm", good | body, 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    reset(mail_world, token)


def test_a_lost_answer_is_replayed_with_the_same_key(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    body = {"token": mail_world.mailed(), "new_password": NEW}
    answers = [mail_world.system.anybody().keyed("/password-resets/confirm", body, "one-key") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert answers[1].headers["Idempotent-Replayed"] == "true"


def test_tokens_cannot_be_guessed_for_long(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"login_failures": 3})) as system:
        world = World(system, ShiftedClock(), real=False)
        for _ in range(3):
            reset(world, "x" * 43, 403)
        assert reset(world, "y" * 43, 429)["code"] == "too_many_requests"
        system.anybody().post("/email-verifications/confirm", {"token": "z"}, 429)


def test_an_address_gets_few_mails_whether_it_is_known_or_not(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    for email in ("ada@example.com", "nobody@example.com"):
        for _ in range(5):
            forgot(mail_world, email)
        answer = forgot(mail_world, email.upper(), 429)
        assert int(answer.headers["Retry-After"]) > 0
    assert len(mail_world.carried()) == 5


def test_requests_from_one_address_are_limited(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"address_login_failures": 2})) as system:
        world = World(system, ShiftedClock(), real=False)
        for n in range(2):
            forgot(world, f"a{n}@example.com")
        forgot(world, "a3@example.com", 429)


def test_an_address_is_verified_once(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    assert ada.get("/accounts/me")["account"]["email_verified"] is False
    assert ada.post("/accounts/me/email-verification", None, 204) is None
    token = mail_world.mailed()
    reset(mail_world, token, 403)
    anybody = mail_world.system.anybody()
    anybody.post("/email-verifications/confirm", {"token": token}, 204)
    assert ada.get("/accounts/me")["account"]["email_verified"] is True
    assert anybody.post("/email-verifications/confirm", {"token": token}, 403)["code"] == "wrong_mail_token"
    ada.post("/accounts/me/email-verification", None, 204)
    assert len(mail_world.carried()) == 1, "there is nothing more to prove"
    assert "email" not in anybody.get("/accounts/ada")["account"]


def test_mail_that_cannot_be_sent_waits_and_blocks_nothing(mail_world: MailWorld) -> None:
    ada, bob = mail_world.system.person("ada"), mail_world.system.person("bob")
    mail_world.kept.answer = "451 later"
    forgot(mail_world, "ada@example.com")
    forgot(mail_world, "bob@example.com")
    bob.put("/accounts/ada/follow")
    mail_world.drained()
    assert ada.get("/notifications")["unread_count"] == 1
    mail_world.kept.answer = "250 kept"
    assert mail_world.carried() == [], "it is not tried at once"
    mail_world.clock.ahead += AWAY + A_MOMENT
    assert len(mail_world.carried()) == 2
    reset(mail_world, mail_world.carried()[0])


def test_mail_that_comes_too_late_is_not_sent(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    mail_world.kept.answer = "451 later"
    forgot(mail_world, "ada@example.com")
    mail_world.drained()
    mail_world.kept.answer = "250 kept"
    mail_world.clock.ahead += LIFETIME["reset"]
    assert mail_world.carried() == []
    assert mail_world.system.container.stores.relational.outbox.backlog().unsent == 0


def test_mail_to_an_address_that_is_refused_is_given_up(mail_world: MailWorld) -> None:
    mail_world.system.person("ada")
    mail_world.kept.refused = "550 no such user"
    forgot(mail_world, "ada@example.com")
    mail_world.drained()
    backlog = mail_world.system.container.stores.relational.outbox.backlog()
    assert (backlog.unsent, backlog.dead_lettered) == (0, 0)


def test_mail_to_a_deleted_account_is_not_sent(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    assert ada.send("DELETE", "/accounts/me", json={"password": PASSWORD}).status_code == 204
    assert mail_world.carried() == []


def test_the_event_ends_the_sessions_if_the_request_could_not(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    token = mail_world.mailed()
    with patch.object(mail_world.system.container.stores.sessions, "end_all", side_effect=Unavailable("sessions")):
        reset(mail_world, token)
    assert ada.get("/accounts/me"), "or this test shows nothing"
    mail_world.drained()
    assert ada.get("/accounts/me", 401)["code"] == "invalid_token"


def test_a_password_that_changes_meanwhile_ends_the_token(mail_world: MailWorld) -> None:
    ada = mail_world.system.person("ada")
    forgot(mail_world, "ada@example.com")
    token = mail_world.mailed()
    hasher = mail_world.system.container.people.hasher
    plain: Any = hasher.hash

    def overtaken(password: str) -> Any:
        with patch.object(hasher, "hash", plain):
            ada.put("/accounts/me/password", {"current_password": PASSWORD, "new_password": "eight green herons"})
        return plain(password)

    with patch.object(hasher, "hash", overtaken):
        assert reset(mail_world, token, 403)["code"] == "wrong_mail_token"
    signs_in(mail_world, "eight green herons")


def test_links_lead_to_the_app(tmp_path: Path) -> None:
    with mail_server() as (kept, port):
        url = {"mail_url": f"smtp://localhost:{port}?starttls=false", "mail_app_url": "https://app.example.com/"}
        with running(Settings(**embedded(tmp_path) | url)) as system:
            system.person("ada")
            system.anybody().post("/password-resets", {"email": "ada@example.com"}, 204)
            system.relay.drain()
            (mail,) = kept.mails
            assert f"https://app.example.com/reset-password#token={kept.tokens[0]}\n" in mail.get_content()


def test_without_mail_the_routes_answer_501(tmp_path: Path) -> None:
    with running(Settings(**embedded(tmp_path) | {"mail_url": "none://"})) as system:
        ada = system.person("ada")
        assert system.anybody().post("/password-resets", {"email": "ada@example.com"}, 501)["code"] == "mail_off"
        assert ada.post("/accounts/me/email-verification", None, 501)["code"] == "mail_off"


def test_in_development_the_mail_is_printed(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    system.person("ada")
    system.anybody().post("/password-resets", {"email": "ada@example.com"}, 204)
    system.relay.drain()
    assert "To: ada@example.com" in capsys.readouterr().err


NO_ADDRESSES = ["", "ada", "ada@", "a" * 250 + "@example.com", None, "ada@example.com\nBcc: eve@example.com"]


@pytest.mark.parametrize("email", NO_ADDRESSES)
def test_invalid_addresses_are_refused(system: System, email: str | None) -> None:
    problem = system.anybody().post("/password-resets", {"email": email}, 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/email"]


# Addresses that a mail program may read as another mailbox, or as several.
SPELLINGS = [
    "=?utf-8?q?ada?=@example.com",
    "=?utf-8?q?ada=40example.org=2C_x?=@example.com",
    '"ada"@example.com',
    "ada@exam\u200bple.com",
    "ada@\uff45xample.com",
    "\uff41da@example.com",
    "ada@[127.0.0.1]",
]


@pytest.mark.parametrize("email", SPELLINGS)
def test_only_plain_addresses_can_be_registered(system: System, email: str) -> None:
    new = {"handle": "ada", "email": email, "password": PASSWORD, "display_name": "Ada"}
    problem = system.anybody().post("/accounts", new, 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/email"]


def test_a_stored_address_of_former_rules_still_gets_mail(mail_world: MailWorld) -> None:
    system, before = mail_world.system, '"ada,lovelace"@example.com'
    ada = system.person("ada")
    login = system.container.people.accounts.login(UUID(ada.account["id"]))
    with system.container.stores.relational.transaction() as tx:
        tx.accounts.set_email(login.account_id, before, if_hash=login.password_hash)
    forgot(mail_world, before)
    reset(mail_world, mail_world.mailed())
    assert [one.addr_spec for one in mail_world.kept.mails[0]["To"].addresses] == [before]
