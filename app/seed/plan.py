"""The data set as a function of its seed. Values that can be drawn again are not stored.

Accounts, products and posts are numbered from 0. Account 0 is the celebrity; lower numbers have more followers. Posts
are numbered by age: a higher number is a newer post with a higher id.
"""

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from random import Random
from string import ascii_lowercase
from uuid import UUID

from app.ids import EPOCH, MICROSECOND, uuid7
from app.seed import words
from app.seed.draws import Draws, cumulated, distinct, shares, zipf
from app.seed.sizes import Sizes, sizes
from app.seed.trade import Market, Trade
from repositories.records.content import Comment, Post, PostRef
from repositories.records.graph import Follow, Like
from repositories.records.money import Money
from repositories.records.people import Account
from repositories.records.products import AttributeValue, Product

UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
POSTING = timedelta(days=60)
LISTING = timedelta(days=30)
JOINING = timedelta(days=365)
CELEBRITY = 0
# The fraction of the other accounts that follows the celebrity.
ADMIRED_BY = 0.95
BURSTS, IN_BURSTS, BURST_SECONDS = 24, 0.4, 3600.0


class Plan:
    """One data set. Sets that differ in seed, number of accounts or end share no ids: several can be loaded."""

    def __init__(self, chosen: Sizes, *, seed: int = 1, until: datetime = UNTIL) -> None:
        self.sizes = chosen
        self.until = until
        self._draws = Draws(f"{seed}/{chosen.accounts}/{until:%Y-%m-%d}")
        plain = (seed, chosen.accounts, until) == (1, sizes().accounts, UNTIL)
        self._mark = "" if plain else "".join(self._draws.stream("mark").choices(ascii_lowercase, k=4)) + "_"
        self._sentences = list(words.sentences())
        self._tag_weights = cumulated(zipf(len(words.TAGS), 1.0))

    def prepare(self) -> None:
        """Draw in advance the values that several threads will read."""
        _ = self.refs, self.product_ids, self.posts_of, self.followees, self.comment_counts, self.like_counts
        self.trade.prepare()

    @cached_property
    def account_ids(self) -> list[UUID]:
        return [uuid7(self._joined(k), self._draws.number("account id", k)) for k in range(self.sizes.accounts)]

    @cached_property
    def product_ids(self) -> list[UUID]:
        return [uuid7(self._listed(k), self._draws.number("product id", k)) for k in range(self.sizes.products)]

    @cached_property
    def refs(self) -> list[PostRef]:
        """Every post, oldest first."""
        return [
            PostRef(uuid7(self.posted(k), self._draws.number("post id", k)), self.account_ids[author])
            for k, author in enumerate(self.authors)
        ]

    @cached_property
    def authors(self) -> "array[int]":
        """The author of each post; a few accounts write most of them."""
        draw = self._draws.stream("authors")
        ranked = draw.sample(range(self.sizes.accounts), self.sizes.accounts)
        return array("I", draw.choices(ranked, cum_weights=cumulated(zipf(len(ranked), 0.7)), k=self.sizes.posts))

    @cached_property
    def posts_of(self) -> list["array[int]"]:
        """The posts of each account, oldest first."""
        found = [array("I") for _ in range(self.sizes.accounts)]
        for k, author in enumerate(self.authors):
            found[author].append(k)
        return found

    @cached_property
    def followees(self) -> list["array[int]"]:
        """The followees of each account: nearly all follow the celebrity, the others are drawn by rank."""
        count = self.sizes.accounts
        draw = self._draws.stream("followees")
        weights = [draw.lognormvariate(0.0, 0.7) for _ in range(count)]
        degrees = shares(self.sizes.follows, weights, most=count - 1)
        popularity = cumulated(zipf(count, 0.8))
        return [self._followees(k, degree, popularity) for k, degree in enumerate(degrees)]

    @cached_property
    def comment_counts(self) -> list[int]:
        return self._spread(self.sizes.comments, most=max(self.sizes.comments, 1))

    @cached_property
    def like_counts(self) -> list[int]:
        return self._spread(self.sizes.likes, most=self.sizes.accounts)

    @cached_property
    def follower_counts(self) -> list[int]:
        found = [0] * self.sizes.accounts
        for followee in chain.from_iterable(self.followees):
            found[followee] += 1
        return found

    def handle(self, k: int) -> str:
        draw = self._draws.stream("name", k)
        return f"{draw.choice(words.FIRST_NAMES)}_{draw.choice(words.LAST_NAMES)}_{self._mark}{k}"

    def account(self, k: int) -> Account:
        handle = self.handle(k)
        name = " ".join(part.capitalize() for part in handle.split("_")[:2])
        bio = self._draws.stream("bio", k).choice(words.BIOS)
        return Account(self.account_ids[k], handle, name, bio, None, self._joined(k), 1)

    def email(self, k: int) -> str:
        return f"{self.handle(k)}@example.com"

    def follows(self, k: int) -> list[Follow]:
        """The follows of account `k`, dated after all accounts were registered."""
        draw, ids = self._draws.stream("since", k).random, self.account_ids
        since, most = self.until - POSTING - LISTING, (POSTING + LISTING) // MICROSECOND
        return [Follow(ids[k], ids[other], since + _fraction(most, draw())) for other in self.followees[k]]

    def product(self, k: int) -> Product:
        draw = self._draws.stream("product", k)
        category = draw.choice(tuple(words.THINGS))
        material, colour = draw.choice(words.MATERIALS), draw.choice(words.COLOURS)
        thing = draw.choice(words.THINGS[category])
        return Product(
            id=self.product_ids[k],
            seller_id=self.account_ids[draw.randrange(self.sizes.accounts)],
            title=f"{colour} {material} {thing}".capitalize(),
            description=" ".join(draw.choices(self._sentences, k=2)),
            category=category,
            price=Money(draw.randint(3, 400) * 100 - draw.choice((0, 1, 5, 50)), draw.choice(("EUR", "EUR", "USD"))),
            attributes=_attributes(draw, material, colour),
            created_at=self._listed(k),
            updated_at=self._listed(k),
            version=1,
        )

    def stock(self, k: int) -> int:
        """The units on hand of each product; few are sold out."""
        return max(0, self._draws.stream("stock", k).randint(-10, 200))

    @cached_property
    def trade(self) -> Trade:
        """Wallets and orders. All products are listed before the first order."""
        products = [self.product(k) for k in range(self.sizes.products)]
        starts = self.until - POSTING
        return Trade(
            self._draws,
            self.sizes.orders,
            Market(self.account_ids, products, opens=starts - LISTING, starts=starts, ends=self.until),
        )

    def posted(self, k: int) -> datetime:
        return EPOCH + self._times[k] * MICROSECOND

    def post(self, k: int) -> Post:
        draw = self._draws.stream("post", k)
        ref, at = self.refs[k], self.posted(k)
        # `choice` of a range costs half of `randrange`.
        tags = draw.choices(words.TAGS, cum_weights=self._tag_weights, k=draw.choice(range(5)))
        shown = draw.choice((1, 2)) if self.product_ids and draw.random() < 0.1 else 0
        return Post(
            id=ref.post_id,
            author_id=ref.author_id,
            title=f"{draw.choice(words.TITLE_STARTS)} {draw.choice(words.TITLE_ENDS)}",
            body=" ".join(draw.choices(self._sentences, k=draw.choice(range(1, 9)))),
            tags=tuple(dict.fromkeys(tags)),
            product_ids=tuple(dict.fromkeys(draw.choices(self.product_ids, k=shown) if shown else ())),
            created_at=at,
            updated_at=at,
            version=1,
        )

    def comments(self, k: int) -> list[Comment]:
        """The comments on post `k`, most of them soon after it."""
        if not self.comment_counts[k]:
            return []
        draw = self._draws.stream("comments", k)
        post_id = self.refs[k].post_id
        return [
            Comment(post_id, number, draw.choice(self.account_ids), draw.choice(words.REMARKS), at)
            for number, at in enumerate(self._reactions(draw, k, self.comment_counts[k]), start=1)
        ]

    def likes(self, k: int) -> list[Like]:
        """The likes of post `k`, each from a different account."""
        if not self.like_counts[k]:
            return []
        post_id, fans, ids = self.refs[k].post_id, self.fans(k), self.account_ids
        times = self._reactions(self._draws.stream("like times", k), k, len(fans))
        return [Like(ids[fan], post_id, at) for fan, at in zip(fans, times, strict=True)]

    def fans(self, k: int) -> list[int]:
        return self._draws.stream("fans", k).sample(range(self.sizes.accounts), self.like_counts[k])

    def home(self, owner: int, most: int | None = None) -> list[PostRef]:
        """The newest `most` posts of the home feed by its definition, newest first."""
        authors = {owner, *self.followees[owner]}
        newest = sorted(chain.from_iterable(self.posts_of[a][-most if most else 0 :] for a in authors), reverse=True)
        return [self.refs[k] for k in newest[:most]]

    def home_length(self, owner: int) -> int:
        return sum(len(self.posts_of[author]) for author in {owner, *self.followees[owner]})

    @cached_property
    def _times(self) -> "array[int]":
        """The times of the posts: strictly increasing microseconds since 1970, some of them in bursts."""
        draw = self._draws.stream("times")
        start = (self.until - POSTING - EPOCH) // MICROSECOND
        length = POSTING // MICROSECOND
        bursts = [draw.randrange(length) for _ in range(BURSTS)]
        return array(
            "q", _strictly_increasing(sorted(start + _time(draw, bursts, length) for _ in range(self.sizes.posts)))
        )

    def _followees(self, k: int, degree: int, popularity: list[float]) -> "array[int]":
        draw = self._draws.stream("followees", k)
        admires = k != CELEBRITY and draw.random() < ADMIRED_BY
        return array("I", distinct(draw, degree, popularity, start=[CELEBRITY] if admires else [], never=k))

    def _spread(self, total: int, *, most: int) -> list[int]:
        """Distribute a total over the posts. The same posts get many likes and many comments."""
        ranked = self._draws.stream("popularity").sample(range(self.sizes.posts), self.sizes.posts)
        found = [0] * self.sizes.posts
        counts = shares(total, zipf(self.sizes.posts, 0.8), most=most)
        for k, count in zip(ranked, counts, strict=True):
            found[k] = count
        return found

    def _reactions(self, draw: Random, k: int, count: int) -> list[datetime]:
        at, part = self.posted(k), draw.random
        most = (self.until - at) // MICROSECOND
        return [at + _fraction(most, one) for one in sorted([part() ** 4 for _ in range(count)])]

    def _joined(self, k: int) -> datetime:
        part = self._draws.stream("joined", k).random()
        return self.until - POSTING - LISTING - JOINING + _fraction(JOINING // MICROSECOND, part)

    def _listed(self, k: int) -> datetime:
        part = self._draws.stream("listed", k).random()
        return self.until - POSTING - LISTING + _fraction(LISTING // MICROSECOND, part)


def _fraction(micros: int, part: float) -> timedelta:
    return timedelta(0, 0, int(micros * part))


def _time(draw: Random, bursts: list[int], length: int) -> int:
    if draw.random() < IN_BURSTS:
        return min(draw.choice(bursts) + int(draw.expovariate(1 / BURST_SECONDS) * 1_000_000), length - 1)
    return draw.randrange(length)


def _strictly_increasing(times: list[int]) -> Iterator[int]:
    last = -1
    for time in times:
        last = max(time, last + 1)
        yield last


def _attributes(draw: Random, material: str, colour: str) -> dict[str, AttributeValue]:
    """One attribute of each type."""
    return {
        "material": material,
        "colour": colour,
        "weight_grams": draw.randint(5, 300) * 10,
        "rating": draw.randint(20, 50) / 10,
        "handmade": draw.random() < 0.4,
    }
