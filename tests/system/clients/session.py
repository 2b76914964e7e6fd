"""The README's first session with the client that openapi-python-client generates. Prints the results as JSON."""

import json
import sys

from quartet_client import AuthenticatedClient, Client
from quartet_client.api.accounts import create_account, follow_account, get_own_account, update_own_account
from quartet_client.api.feed import get_feed
from quartet_client.api.posts import create_post, list_posts
from quartet_client.api.sessions import create_session
from quartet_client.api.wallet import create_deposit, list_balances
from quartet_client.models import (
    BalancePage,
    Currency,
    Deposit,
    FeedChange,
    FeedPage,
    Login,
    MovedMoney,
    OwnAccountCard,
    PostCard,
    PostDraft,
    PostEvent,
    PostPage,
    Problem,
    ProfileChanges,
    Registration,
    SignedIn,
    Transfer,
)

PASSWORD = "correct horse battery"


def signed_in(anybody: Client) -> AuthenticatedClient:
    registration = Registration(handle="pia", email="pia@example.com", password=PASSWORD, display_name="Pia")
    pia = create_account.sync(client=anybody, body=registration)
    assert isinstance(pia, OwnAccountCard)
    session = create_session.sync(client=anybody, body=Login(login="pia", password=PASSWORD))
    assert isinstance(session, SignedIn)
    return AuthenticatedClient(base_url=sys.argv[1], token=session.token)


def published(signed: AuthenticatedClient) -> tuple[PostCard, FeedChange]:
    """Publish a post; returns it, and its event from an open stream."""
    with signed.get_httpx_client().stream("GET", "/api/v1/feed/stream") as stream:
        draft = PostDraft(title="Hello", body="A first post.", tags=["hello"])
        post = create_post.sync(client=signed, body=draft)
        assert isinstance(post, PostCard)
        fields: dict[str, str] = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif fields.get("event") == "post":
                event = PostEvent.from_dict(fields)
                return post, FeedChange.from_dict(json.loads(event.data))
            else:
                fields = {}
    raise EOFError("the stream has ended")


with Client(base_url=sys.argv[1]) as anybody, signed_in(anybody) as signed:
    newest = list_posts.sync(client=signed, limit=1)
    assert isinstance(newest, PostPage)
    author = newest.items[0].author.handle
    follow_account.sync_detailed(author, client=signed)
    feed = get_feed.sync(client=signed, limit=2)
    assert isinstance(feed, FeedPage)
    post, news = published(signed)

    own = get_own_account.sync_detailed(client=signed)
    changes = [
        update_own_account.sync(client=signed, body=ProfileChanges(bio="Mathematics."), if_match=own.headers["ETag"])
        for _ in range(2)
    ]
    assert isinstance(changes[0], OwnAccountCard)
    assert isinstance(changes[1], Problem)
    deposit = Deposit(amount=MovedMoney(amount=500000, currency=Currency.EUR))
    paid = [create_deposit.sync(client=signed, body=deposit, idempotency_key="first-deposit") for _ in range(2)]
    assert all(isinstance(one, Transfer) for one in paid)
    wallet = list_balances.sync(client=signed)
    assert isinstance(wallet, BalancePage)

    came = {
        "handle": changes[0].account.handle,
        "feed": feed.items[0].author.handle == author,
        "event": news.post_id == post.post.id,
        "bio": changes[0].account.bio,
        "refused": changes[1].code,
        "deposits": len({one.id for one in paid if isinstance(one, Transfer)}),
        "available": wallet.items[0].available.amount,
    }
    json.dump(came, sys.stdout)
