"""The contract of the relational store: accounts and their logins."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Conflict, Invalid, NotFound, Stale
from repositories.records.people import Account
from repositories.relational import RelationalStore
from tests.contracts.relational.texts import BAD_TEXTS, TEXTS
from tests.contracts.relational_store import NOW, account, add, login, register
from tests.contracts.transactions import LARGEST, SECOND, do, together

TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    NOW,
    datetime.max.replace(tzinfo=UTC),
]


class TestAccounts:
    @pytest.mark.parametrize("text", TEXTS)
    def test_come_back_as_they_were(self, store: RelationalStore, text: str) -> None:
        one = account(display_name=text, bio=text * 20, image_url=text)
        its_login = login(one, password_hash=text)
        do(store, lambda unit: unit.accounts.add(one, its_login))
        assert store.accounts.get([one.id]) == {one.id: one}
        assert store.accounts.login_of(one.id) == its_login

    @pytest.mark.parametrize("at", TIMES)
    def test_keep_the_microsecond(self, store: RelationalStore, at: datetime) -> None:
        one = account(created_at=at)
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        kept = store.accounts.get([one.id])[one.id]
        assert kept == one
        assert kept.created_at.tzinfo is UTC

    def test_a_missing_image_is_not_an_empty_one(self, store: RelationalStore) -> None:
        none, empty = account(image_url=None), account(image_url="")
        for one in (none, empty):
            do(store, lambda unit, one=one: unit.accounts.add(one, login(one)))  # type: ignore[misc]  # default binds
        found = store.accounts.get([none.id, empty.id])
        assert found[none.id].image_url is None
        assert found[empty.id].image_url == ""

    @pytest.mark.parametrize("text", BAD_TEXTS)
    @pytest.mark.parametrize("field", ["handle", "display_name", "bio", "image_url"])
    def test_refuse_bad_text(self, store: RelationalStore, field: str, text: str) -> None:
        one = account(**{field: text})
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.accounts.add(one, login(one, email=f"{one.id}@x")))
        good = account()
        do(store, lambda unit: unit.accounts.add(good, login(good)))
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.accounts.replace(replace(good, **{field: text}), if_version=1))

    @pytest.mark.parametrize("text", BAD_TEXTS)
    def test_refuse_bad_text_in_logins_and_look_ups(self, store: RelationalStore, text: str) -> None:
        one = account()
        for bad in (login(one, email=text), login(one, password_hash=text)):
            with pytest.raises(Invalid):
                do(store, lambda unit, bad=bad: unit.accounts.add(one, bad))  # type: ignore[misc]  # default binds
        for look_up in (store.accounts.by_handle, store.accounts.login):
            with pytest.raises(Invalid):
                look_up(text)
        with pytest.raises(Invalid):
            store.accounts.login(f"{text}@example.org")

    @pytest.mark.parametrize("version", [LARGEST + 1, -LARGEST - 2, 10**30])
    def test_refuse_integers_beyond_64_bits(self, store: RelationalStore, version: int) -> None:
        one = account(version=version)
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.accounts.add(one, login(one)))
        largest = account(version=LARGEST)
        do(store, lambda unit: unit.accounts.add(largest, login(largest)))
        assert store.accounts.get([largest.id])[largest.id].version == LARGEST

    def test_get_leaves_out_the_unknown(self, store: RelationalStore) -> None:
        ada, bob = register(store, 2)
        assert set(store.accounts.get([bob, uuid4(), ada, bob])) == {ada, bob}
        assert store.accounts.get([]) == {}
        assert store.accounts.get({uuid4()}) == {}

    def test_get_takes_ten_thousand_ids(self, store: RelationalStore) -> None:
        ids = register(store, 3) + [uuid4() for _ in range(40_000)]
        assert len(store.accounts.get(ids)) == 3
        assert len(store.graph.relations(ids[0], ids)) == len(store.graph.counts(ids)) == len(ids)
        assert set(store.likes.counts(ids).values()) == set(store.stock.available(ids).values()) == {0}

    def test_handles_and_emails_are_found_without_ascii_case(self, store: RelationalStore) -> None:
        one = account(handle=f"AdA_{uuid4().hex[:8]}")
        its_login = login(one, email=f"Ada.{one.handle}@Example.ORG")
        do(store, lambda unit: unit.accounts.add(one, its_login))
        for name in (one.handle, one.handle.lower(), one.handle.upper()):
            assert store.accounts.by_handle(name) == one
            assert store.accounts.login(name) == its_login
        for email in (its_login.email, its_login.email.lower(), its_login.email.upper()):
            assert store.accounts.login(email) == its_login
            assert store.accounts.by_handle(email) is None

    def test_only_ascii_case_is_ignored(self, store: RelationalStore) -> None:
        end = uuid4().hex
        spellings = [
            "\u0130x",
            "ix",
            "\u0131x",
            "\u00c4x",
            "\u00e4x",
            "a\u0308x",
            "stra\u00dfe",
            "strasse",
            "\u212ax",
            "kx",
        ]
        people = [account(handle=spelling + end) for spelling in spellings]
        with store.transaction() as unit:
            for one in people:
                unit.accounts.add(one, login(one))
        assert [store.accounts.by_handle(one.handle) for one in people] == people

    def test_an_unknown_name_finds_no_account(self, store: RelationalStore) -> None:
        assert store.accounts.by_handle(uuid4().hex) is None
        assert store.accounts.login(uuid4().hex) is None
        assert store.accounts.login(f"{uuid4()}@example.org") is None
        assert store.accounts.login_of(uuid4()) is None

    def test_a_taken_value_is_named(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        other = account()
        same_id, same_handle = replace(other, id=one.id), replace(other, handle=one.handle.upper())
        for field, who, its_login in (
            ("id", same_id, login(same_id)),
            ("handle", same_handle, login(other)),
            ("email", other, login(other, email=login(one).email.upper())),
        ):
            with pytest.raises(Conflict) as caught, store.transaction() as unit:
                unit.accounts.add(who, its_login)
            assert caught.value.field == field
        assert store.accounts.get([other.id]) == {}
        assert store.accounts.by_handle(other.handle) is None

    def test_one_of_two_accounts_with_one_handle_wins(self, store: RelationalStore) -> None:
        handle = uuid4().hex
        people = [account(handle=handle) for _ in range(4)]
        ends = together([lambda one=one: add(store, one) for one in people])  # type: ignore[misc]  # default binds
        assert sum(end is None for end in ends) == 1
        assert all(end is None or (isinstance(end, Conflict) and end.field == "handle") for end in ends)

    def test_replace_stores_all_of_it(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        new = Account(one.id, one.handle.upper(), "New", "bio", "https://x", NOW + SECOND, 2)
        do(store, lambda unit: unit.accounts.replace(new, if_version=1))
        assert store.accounts.get([one.id]) == {one.id: new}
        assert store.accounts.by_handle(one.handle) == new

    def test_replace_frees_the_old_handle(self, store: RelationalStore) -> None:
        one, other = account(), account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        do(store, lambda unit: unit.accounts.replace(replace(one, handle=f"n{one.handle}"), if_version=1))
        do(store, lambda unit: unit.accounts.add(replace(other, handle=one.handle), login(other)))

    def test_replace_refuses(self, store: RelationalStore) -> None:
        one, other = account(), account()
        for who in (one, other):
            do(store, lambda unit, who=who: unit.accounts.add(who, login(who)))  # type: ignore[misc]  # default binds
        with pytest.raises(Stale):
            do(store, lambda unit: unit.accounts.replace(replace(one, version=3), if_version=2))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.accounts.replace(account(), if_version=1))
        with pytest.raises(Conflict) as caught:
            do(store, lambda unit: unit.accounts.replace(replace(one, handle=other.handle), if_version=1))
        assert caught.value.field == "handle"
        assert store.accounts.get([one.id]) == {one.id: one}

    def test_one_of_two_replacements_is_stale(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))

        def change() -> None:
            with store.transaction() as unit:
                unit.accounts.replace(replace(one, version=2), if_version=1)

        ends = together([change] * 4)
        assert sorted(type(end).__name__ for end in ends) == ["NoneType", "Stale", "Stale", "Stale"]

    def test_ids_ascend(self, new_store: Callable[[], RelationalStore]) -> None:
        new = new_store()
        assert new.accounts.ids(after=None, limit=9) == []
        ids = register(new, 5)
        assert new.accounts.ids(after=None, limit=9) == ids
        assert new.accounts.ids(after=None, limit=2) == ids[:2]
        assert new.accounts.ids(after=ids[1], limit=2) == ids[2:4]
        assert new.accounts.ids(after=UUID(int=ids[1].int + 1), limit=9) == ids[2:]
        assert new.accounts.ids(after=ids[-1], limit=9) == []
        with pytest.raises(Invalid):
            new.accounts.ids(after=None, limit=-1)

    def test_set_password(self, store: RelationalStore) -> None:
        one = account()
        do(store, lambda unit: unit.accounts.add(one, login(one)))
        do(store, lambda unit: unit.accounts.set_password(one.id, "other", if_hash="hash"))
        assert store.accounts.login_of(one.id) == login(one, password_hash="other")
        with pytest.raises(Stale):
            do(store, lambda unit: unit.accounts.set_password(one.id, "third", if_hash="hash"))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.accounts.set_password(uuid4(), "other", if_hash="hash"))
        assert store.accounts.login_of(one.id) == login(one, password_hash="other")

    def test_set_email(self, store: RelationalStore) -> None:
        one, other = account(), account()
        for each in (one, other):
            add(store, each)
        do(store, lambda unit: unit.accounts.verify(one.id, NOW))
        fresh = f"New.{one.id}@Example.org"
        do(store, lambda unit: unit.accounts.set_email(one.id, fresh, if_hash="hash"))
        assert store.accounts.login(fresh.upper()) == login(one, email=fresh, verified_at=None)
        assert store.accounts.login(login(one).email) is None
        with pytest.raises(Stale):
            do(store, lambda unit: unit.accounts.set_email(one.id, "a@example.org", if_hash="another"))
        with pytest.raises(NotFound):
            do(store, lambda unit: unit.accounts.set_email(uuid4(), "a@example.org", if_hash="hash"))
        with pytest.raises(Conflict) as taken:
            do(store, lambda unit: unit.accounts.set_email(other.id, fresh.lower(), if_hash="hash"))
        assert taken.value.field == "email"
        do(store, lambda unit: unit.accounts.set_email(one.id, fresh.lower(), if_hash="hash"))
        assert store.accounts.login_of(one.id) == login(one, email=fresh.lower())
