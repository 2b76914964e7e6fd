"""The people wing: accounts, sessions, the follow graph and rate limits."""

from datetime import timedelta
from typing import Self

from msgspec import Struct

from app.services.commands.kit import Kit
from app.services.pages.wing import PagesWing
from app.services.people.account_deletion import AccountDeletion
from app.services.people.accounts import Accounts
from app.services.people.console_sessions import ConsoleSessions
from app.services.people.email_changes import EmailChanges
from app.services.people.graph import Graph
from app.services.people.mail_delivery import MailDelivery
from app.services.people.mailed_tokens import MailedTokens
from app.services.people.mailer import Mailer
from app.services.people.password_changes import PasswordChanges
from app.services.people.passwords import Hasher
from app.services.people.sessions import Sessions
from app.services.people.throttle import Rates, Throttle
from app.stores import Stores


class PeopleLimits(Struct, frozen=True):
    """Links in mails start with `app_url`; if it is empty, mails have the bare token."""

    session_lifetime: timedelta
    app_url: str = ""
    rates: Rates = Rates()


class PeopleWing(Struct, frozen=True):
    hasher: Hasher
    accounts: Accounts
    sessions: Sessions
    password_changes: PasswordChanges
    email_changes: EmailChanges
    deletion: AccountDeletion
    mailed_tokens: MailedTokens
    graph: Graph
    throttle: Throttle
    console_sessions: ConsoleSessions

    @classmethod
    def build(
        cls, stores: Stores, kit: Kit, pages: PagesWing, hasher: Hasher, mailer: Mailer | None, limits: PeopleLimits
    ) -> Self:
        sessions = Sessions(stores.relational, stores.sessions, hasher, kit, limits.session_lifetime)
        accounts = Accounts(stores.relational, pages.invalidation, pages.write_through, hasher, kit)
        delivery = MailDelivery(mailer, kit.clock)
        return cls(
            hasher,
            accounts,
            sessions,
            PasswordChanges(stores.relational, sessions, hasher, kit),
            EmailChanges(stores.relational, accounts, hasher, delivery, kit),
            AccountDeletion(stores.relational, accounts, sessions, hasher, pages.invalidation, kit),
            MailedTokens(stores.relational, sessions, hasher, delivery, kit, limits.app_url),
            Graph(stores.relational, pages.invalidation, kit),
            Throttle(stores.limits, limits.rates),
            ConsoleSessions(stores.relational, kit),
        )
