"""Deletion of one's own account (decision 19): the account is gone with the commit; its id stays in the rows of money.

Every read that shows an account, or something with its owner, looks the account up and leaves out what it does not
find. So posts, comments, products and edges vanish from all reads with the account; `Departures` then removes them.
"""

from uuid import UUID

from app.errors import RuleBroken, WrongPassword
from app.events import AccountDeleted
from app.services.commands.kit import Kit
from app.services.pages.invalidation import Invalidation
from app.services.people.accounts import RESERVED, Accounts
from app.services.people.passwords import Hasher
from app.services.people.sessions import Sessions
from repositories.errors import NotFound, Stale
from repositories.records.people import Account, Session
from repositories.relational import RelationalStore, Transaction


class AccountDeletion:
    def __init__(
        self,
        relational: RelationalStore,
        accounts: Accounts,
        sessions: Sessions,
        hasher: Hasher,
        invalidation: Invalidation,
        kit: Kit,
    ) -> None:
        self._relational = relational
        self._accounts = accounts
        self._sessions = sessions
        self._hasher = hasher
        self._invalidation = invalidation
        self._clock = kit.clock
        self._retry = kit.retry
        self._pack = kit.emitter

    def delete(self, session: Session, password: str, *, forfeit: bool = False) -> None:
        """Delete the account. Raises `WrongPassword`, also if the password was changed concurrently, and `Missing`.

        Raises `RuleBroken` with code `orders_unfinished` while there are sub-orders of this seller to fulfil or to
        refund. Without `forfeit` also with `payments_open` while the payment provider has not reported the outcome of a
        deposit or a payout, and with `money_left` if the wallet is not empty.

        While the session store is unavailable, no token is accepted; the event ends the sessions once it is back.
        """
        account = self._accounts.own(session.account_id)
        login = self._relational.accounts.login_of(account.id)
        if login is None or not self._hasher.verify(login.password_hash, password):
            raise WrongPassword
        stale = [
            *self._invalidation.account(account.id, [account.handle]),
            *self._invalidation.account_stats([account.id]),
        ]
        try:
            with self._invalidation.after(stale):
                self._retry(lambda: self._delete(account, login.password_hash, forfeit=forfeit))
        except (Stale, NotFound) as changed:
            raise WrongPassword from changed
        self._sessions.end_all_before_event(account.id)

    def _delete(self, account: Account, password_hash: str, *, forfeit: bool) -> None:
        now = self._clock()
        with self._relational.transaction() as tx:
            tx.accounts.delete(account.id, at=now, if_hash=password_hash)
            _refuse_leftovers(tx, account.id, forfeit=forfeit)
            tx.accounts.reserve(account.handle, account.id, until=now + RESERVED)
            tx.emit(self._pack(AccountDeleted(account.id, (account.handle,)), at=now))


def _refuse_leftovers(tx: Transaction, account_id: UUID, *, forfeit: bool) -> None:
    """Raises `RuleBroken` for orders, payments or money that nobody could act on after the deletion.

    The account has to be locked already, so that it cannot be sent money in the meantime.
    """
    if tx.orders.unfinished_of(account_id, limit=1):
        raise RuleBroken("there are orders to fulfil or to refund", code="orders_unfinished")
    if tx.open_payments.forget(account_id) and not forfeit:
        detail = "the payment provider has not said yet what became of a deposit or a payout"
        raise RuleBroken(detail, code="payments_open")
    left = [f"{balance.posted} {balance.currency}" for balance in tx.ledger.wallet(account_id) if balance.posted]
    if left and not forfeit:
        raise RuleBroken(f"the wallet has {', '.join(left)}, in minor units", code="money_left")
