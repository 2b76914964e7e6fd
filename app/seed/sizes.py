"""The sizes of data sets."""

from msgspec import Struct


class Sizes(Struct, frozen=True):
    accounts: int
    follows: int
    products: int
    posts: int
    comments: int
    likes: int
    orders: int


SMALL, MEDIUM, LARGE = "small", "medium", "large"
# Accounts, posts, followees per account, orders per hundred accounts.
_NAMED = {SMALL: (200, 2_000, 20, 150), MEDIUM: (10_000, 100_000, 50, 100), LARGE: (100_000, 1_000_000, 50, 100)}
NAMES = tuple(_NAMED)


def sizes(name: str = SMALL, **given: int | None) -> Sizes:
    """A named size, with the `given` counts instead of its own; counts that depend on them are scaled.

    Raises `ValueError` for counts that do not fit together.
    """
    accounts, posts, followees, orders = _NAMED[name]
    counts = {key: count for key, count in given.items() if count is not None}
    accounts, posts = counts.get("accounts", accounts), counts.get("posts", posts)
    scaled = {
        "accounts": accounts,
        "follows": accounts * min(followees, (accounts - 1) // 2),
        "products": max(20, accounts // 4),
        "posts": posts,
        "comments": posts * 3 // 2,
        "likes": min(posts * 4, posts * accounts // 2),
        "orders": accounts * orders // 100 if counts.get("products", 1) else 0,
    }
    chosen = Sizes(**(scaled | counts))
    _check(chosen)
    return chosen


def _check(chosen: Sizes) -> None:
    if chosen.accounts < 2:
        raise ValueError("at least 2 accounts are needed")
    if chosen.follows > chosen.accounts * (chosen.accounts - 1):
        raise ValueError(f"{chosen.accounts} accounts cannot have {chosen.follows} follows")
    if chosen.likes > chosen.accounts * chosen.posts:
        raise ValueError(f"{chosen.accounts} accounts cannot like {chosen.posts} posts {chosen.likes} times")
    if chosen.comments and not chosen.posts:
        raise ValueError("comments need posts")
    if chosen.orders and not chosen.products:
        raise ValueError("orders need products")
