"""Cards as the API shows them, assembled from fragments that change at different rates and are stored as bytes.

Each method makes a whole page. Its fragments are read from the cache in one multi-get, or in two if this process has
not yet seen who the author or seller is. The viewer's own part is not cached with them: it is added at the end.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Missing
from app.services.feeds.page_context import PageContext
from app.services.feeds.page_windows import Window
from app.services.feeds.timelines import TimelinePage, Timelines
from app.services.pages.fragments import (
    account_part,
    assembled,
    comment_part,
    encode,
    own_part,
    post_part,
    product_part,
    with_member,
)
from app.services.pages.handles import Handles, name_of
from app.services.pages.kinds import AccountStats, Kind, Kinds, PostStats, Units, Used
from app.services.pages.memo import Memo
from app.services.pages.read_through import ReadThrough
from app.services.pages.viewers import PostViewer, Viewers
from repositories.hot import Value
from repositories.records.content import Comment, Post, PostRef
from repositories.records.people import Account, Login
from repositories.records.products import Product


class Card(Struct, frozen=True):
    """`version` is that of the thing shown. The viewer's own part depends on `about`, the id of a post or an account,
    and on the post's `author`.
    """

    body: bytes
    version: int
    about: UUID | None = None
    author: UUID | None = None


class _PostFragments(Struct, frozen=True):
    author_id: UUID
    post: Value
    author: Value
    stats: Value

    def card(self, viewer: PostViewer | None) -> Card:
        return _card(self.post, viewer, post=self.post, author=self.author, stats=self.stats)


class Cards:
    def __init__(
        self,
        viewers: Viewers,
        timelines: Timelines,
        through: ReadThrough,
        kinds: Kinds,
        handles: Handles,
    ) -> None:
        self._viewers = viewers
        self._timelines = timelines
        self._through = through
        self._kinds = kinds
        self._handles = handles
        # The author of a post and the seller of a product never change.
        self._owners: Memo[UUID, UUID] = Memo()

    def home(
        self, reader: UUID, window: Window, look: PageContext | None = None, used: Used | None = None
    ) -> TimelinePage[Card]:
        """A page of the reader's home feed. Each card has the `reason` why it is there. The reader follows all authors
        of the page but themselves.
        """
        look = look or self._timelines.look(reader, window)
        page = self._timelines.home(reader, window, partial(self._fragments, used=used), look)
        liked = look.likes.among(page.ids)
        viewers = {
            i: PostViewer(i in liked, found.author_id != reader) for i, found in zip(page.ids, page.items, strict=True)
        }
        carded = _with_cards(page, viewers)
        reasons = ("followed" if viewers[i].following_author else "own" for i in page.ids)
        cards = zip(carded.items, reasons, strict=True)
        return replace(carded, items=tuple(replace(c, body=with_member(c.body, "reason", why)) for c, why in cards))

    def timeline(self, author: UUID, window: Window, viewer: UUID | None) -> TimelinePage[Card]:
        """A page of an account's posts."""
        page = self._timelines.author(author, window, self._fragments)
        return _with_cards(page, self._viewers.of_posts(viewer, dict.fromkeys(page.ids, author)))

    def posts(self, ids: Sequence[UUID], used: Used | None = None) -> list[Card]:
        """Cards without a viewer's part, in the order given, without posts that are gone."""
        found, owners = self._read_with_owners(self._kinds.posts, self._kinds.post_stats, ids, used)
        return self._post_cards(ids, found, owners, None)

    def posts_read(self, posts: Sequence[Post], viewer: UUID | None) -> list[Card]:
        """Cards of posts that have already been read."""
        owners = {p.id: p.author_id for p in posts}
        wanted = {self._kinds.post_stats: list(owners), self._kinds.accounts: set(owners.values())}
        found = self._through.multi_get(wanted)
        found[self._kinds.posts] = {p.id: Value(post_part(p), p.version) for p in posts}
        return self._post_cards(list(owners), found, owners, viewer)

    def new_post(self, post: Post) -> Card:
        """A post just published, as its author sees it: nothing is counted yet."""
        parts = {"post": post_part(post), "author": self.person(post.author_id), "stats": encode(PostStats(0, 0))}
        return Card(assembled(parts, PostViewer(liked=False, following_author=False)), post.version)

    def products(self, ids: Sequence[UUID], used: Used | None = None) -> list[Card]:
        """Cards in the order given, without products that are gone."""
        found, owners = self._read_with_owners(self._kinds.products, self._kinds.stock, ids, used)
        return self._product_cards(ids, found, owners)

    def products_read(self, products: Sequence[Product]) -> list[Card]:
        """Cards of products that have already been read."""
        owners = {p.id: p.seller_id for p in products}
        found = self._through.multi_get({self._kinds.stock: list(owners), self._kinds.accounts: set(owners.values())})
        found[self._kinds.products] = {p.id: Value(product_part(p), p.version) for p in products}
        return self._product_cards(list(owners), found, owners)

    def new_product(self, product: Product) -> Card:
        """A product just offered: it has no units yet."""
        parts = {
            "product": product_part(product),
            "seller": self.person(product.seller_id),
            "stock": encode(Units(0)),
        }
        return Card(assembled(parts), product.version)

    def profile(self, handle: str, used: Used | None = None) -> Card:
        """The card of the account with this handle, without a viewer's part. Raises `Missing`."""
        name, guess = name_of(handle), self._handles.guess(handle)
        people, stats, handles = self._kinds.accounts, self._kinds.account_stats, self._kinds.handles
        guessed = [guess] if guess else []
        found = self._through.multi_get({handles: [name], people: guessed, stats: guessed}, used)
        account = self._handles.named(handle, found[handles].get(name))
        if account is not None and account != guess:
            found = self._through.multi_get({people: [account], stats: [account]}, used)
        cards = self._account_cards([account], found, None) if account else []
        if not cards:
            raise Missing("there is no account with this handle")
        return cards[0]

    def accounts(self, ids: Sequence[UUID], viewer: UUID | None, used: Used | None = None) -> list[Card]:
        """Cards in the order given, without accounts that do not exist."""
        found = self._through.multi_get({self._kinds.accounts: ids, self._kinds.account_stats: ids}, used)
        return self._account_cards(ids, found, viewer)

    def own(self, account_id: UUID, login: Login) -> Card:
        """An account's card with what only the account itself may see. Raises `Missing`."""
        found = self._through.multi_get({self._kinds.accounts: [account_id], self._kinds.account_stats: [account_id]})
        cards = self._account_cards([account_id], found, account_id, login)
        if not cards:
            raise Missing("there is no such account")
        return cards[0]

    def new_account(self, account: Account, email: str) -> Card:
        """An account just registered: nothing is counted yet, so nothing need be read."""
        parts = {
            "account": own_part(account_part(account), email, verified=False),
            "stats": encode(AccountStats(0, 0, 0)),
        }
        return Card(assembled(parts), account.version)

    def comments(self, author: UUID, comments: Sequence[Comment]) -> list[bytes]:
        """Cards of comments under a post by `author`. Raises `Missing` if that account is gone: so is the post."""
        found = self._through.get(self._kinds.accounts, {author, *(c.author_id for c in comments)})
        if author not in found:
            raise Missing("there is no such post")
        return [
            assembled({"comment": comment_part(c), "author": found[c.author_id].body or b""})
            for c in comments
            if c.author_id in found
        ]

    def _fragments(self, refs: Sequence[PostRef], used: Used | None = None) -> dict[UUID, _PostFragments]:
        """The fragments of the posts that exist and have the author of the reference: a damaged one shows nothing."""
        ids, kinds = [ref.post_id for ref in refs], self._kinds
        wanted = {kinds.posts: ids, kinds.post_stats: ids, kinds.accounts: {ref.author_id for ref in refs}}
        found = self._through.multi_get(wanted, used)
        posts, people, stats = found[kinds.posts], found[kinds.accounts], found[kinds.post_stats]
        return {
            i: _PostFragments(author, posts[i], people[author], stats[i])
            for i, author in ((ref.post_id, ref.author_id) for ref in refs)
            if i in posts and posts[i].note == author.bytes and author in people and i in stats
        }

    def _read_with_owners(self, kind: Kind[UUID], beside: Kind[UUID], ids: Sequence[UUID], used: Used | None) -> Any:
        """Read things, their counts and their owners' accounts. Returns these, and the owner of each thing found."""
        known = {i: owner for i in ids if (owner := self._owners.get(i))}
        found = self._through.multi_get({kind: ids, beside: ids, self._kinds.accounts: set(known.values())}, used)
        owners = {i: known.get(i) or UUID(bytes=value.note) for i, value in found[kind].items()}
        for i in owners.keys() - known.keys():
            self._owners.note(i, owners[i])
        unread = set(owners.values()) - set(known.values())
        if unread:
            found[self._kinds.accounts] |= self._through.get(self._kinds.accounts, unread, used)
        return found, owners

    def _post_cards(
        self,
        ids: Sequence[UUID],
        found: Mapping[Kind[Any], Mapping[UUID, Value]],
        owners: Mapping[UUID, UUID],
        viewer: UUID | None,
    ) -> list[Card]:
        posts, people, stats = found[self._kinds.posts], found[self._kinds.accounts], found[self._kinds.post_stats]
        shown = [i for i in ids if i in posts and i in stats and owners[i] in people]
        viewers = self._viewers.of_posts(viewer, {i: owners[i] for i in shown})
        cards = (
            _card(posts[i], viewers.get(i), post=posts[i], author=people[owners[i]], stats=stats[i]) for i in shown
        )
        return [replace(card, about=i, author=owners[i]) for i, card in zip(shown, cards, strict=True)]

    def _product_cards(
        self, ids: Sequence[UUID], found: Mapping[Kind[Any], Mapping[UUID, Value]], owners: Mapping[UUID, UUID]
    ) -> list[Card]:
        products, people, stock = found[self._kinds.products], found[self._kinds.accounts], found[self._kinds.stock]
        shown = [i for i in ids if i in products and i in stock and owners[i] in people]
        return [_card(products[i], product=products[i], seller=people[owners[i]], stock=stock[i]) for i in shown]

    def _account_cards(
        self,
        ids: Sequence[UUID],
        found: Mapping[Kind[Any], Mapping[UUID, Value]],
        viewer: UUID | None,
        login: Login | None = None,
    ) -> list[Card]:
        people, stats = found[self._kinds.accounts], found[self._kinds.account_stats]
        shown = [i for i in ids if i in people and i in stats]
        viewers = self._viewers.of_accounts(viewer, shown)
        cards = []
        for i in shown:
            account = people[i].body or b""
            if login is not None:
                account = own_part(account, login.email, verified=login.verified_at is not None)
            body = assembled({"account": account, "stats": stats[i].body or b""}, viewers.get(i))
            cards.append(Card(body, people[i].version, i))
        return cards

    def person(self, account_id: UUID) -> bytes:
        """The account's part of a card. Raises `Missing`."""
        found = self._through.get(self._kinds.accounts, [account_id]).get(account_id)
        if found is None:
            raise Missing("there is no such account")
        return found.body or b""


def _with_cards(page: TimelinePage[_PostFragments], viewers: Mapping[UUID, PostViewer]) -> TimelinePage[Card]:
    cards = tuple(found.card(viewers.get(i)) for i, found in zip(page.ids, page.items, strict=True))
    return TimelinePage(page.ids, cards, page.onward)


def _card(thing: Value, viewer: PostViewer | None = None, **parts: Value) -> Card:
    return Card(assembled({name: part.body or b"" for name, part in parts.items()}, viewer), thing.version)
