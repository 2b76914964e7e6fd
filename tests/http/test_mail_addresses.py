"""Spellings of one mail host denote the same mailbox: for registering, signing in, mail and its limit."""

from uuid import UUID

import pytest

from tests.apps import PASSWORD, Person
from tests.http.mail_world import MailWorld, forgot, reset, signs_in

READ, ENCODED = "ada@bücher.example", "ada@xn--bcher-kva.example"
SPELLINGS = [READ, ENCODED, "ada@BÜCHER.example", "Ada@XN--BCHER-KVA.Example", "ada@bu\u0308cher.example"]
# The last spelling is not in Unicode's normal form, which a new address must have.
NEW = SPELLINGS[:-1]


def registered(mail_world: MailWorld, email: str, status: int = 201, handle: str = "ada") -> Person:
    anybody = mail_world.system.anybody()
    body = {"handle": handle, "email": email, "password": PASSWORD, "display_name": handle}
    made = anybody.post("/accounts", body, status)
    if status == 201:
        assert made["account"]["email"].partition("@")[2] == "bücher.example"
        anybody.token = anybody.post("/sessions", {"login": handle, "password": PASSWORD}, 201)["token"]
    return anybody


@pytest.mark.parametrize("first", NEW)
def test_spellings_of_an_address_belong_to_one_account(mail_world: MailWorld, first: str) -> None:
    registered(mail_world, first)
    eve = mail_world.system.person("eve")
    for other in NEW:
        registered(mail_world, other, 409, "bob")
        assert eve.put("/accounts/me/email", {"password": PASSWORD, "email": other}, 409)["code"] == "email_taken"
    for other in SPELLINGS:
        mail_world.system.anybody().post("/sessions", {"login": other, "password": PASSWORD}, 201)


def test_spellings_of_an_address_share_the_limit_of_mails(mail_world: MailWorld) -> None:
    registered(mail_world, READ)
    for spelling in SPELLINGS:
        forgot(mail_world, spelling)
    for spelling in SPELLINGS:
        forgot(mail_world, spelling, 429)
    assert len(mail_world.carried()) == 5
    assert {one.addr_spec for mail in mail_world.kept.mails for one in mail["To"].addresses} == {ENCODED}, "in ASCII"


@pytest.mark.parametrize("before", [ENCODED, "ada@BÜCHER.example", "ada@☃.example"])
def test_a_stored_other_spelling_still_works(mail_world: MailWorld, before: str) -> None:
    ada = mail_world.system.person("ada")
    login = mail_world.system.container.people.accounts.login(UUID(ada.account["id"]))
    with mail_world.system.container.stores.relational.transaction() as tx:
        tx.accounts.set_email(login.account_id, before, if_hash=login.password_hash)
    mail_world.system.anybody().post("/sessions", {"login": before, "password": PASSWORD}, 201)
    forgot(mail_world, before)
    if before.isascii() or before.casefold() == READ:
        reset(mail_world, mail_world.mailed())
        signs_in(mail_world, PASSWORD, 401)


@pytest.mark.parametrize("host", ["☃.example", "xn--a.example", "xn--ls8h.example", "a_b.bücher.example"])
def test_a_host_that_is_no_domain_name_is_refused(mail_world: MailWorld, host: str) -> None:
    new = {"handle": "ada", "email": f"ada@{host}", "password": PASSWORD, "display_name": "Ada"}
    problem = mail_world.system.anybody().post("/accounts", new, 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/email"]
