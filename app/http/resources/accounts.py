"""`/accounts`: registering, profiles, one's own account, follows and blocks."""

from typing import Any, cast
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, anonymous, budget, private, public
from app.http.edge.caching import shared
from app.http.edge.conditions import if_match
from app.http.edge.deps import caller, container, cursors, viewer
from app.http.edge.fields import Line, MailAddress, NewPassword, Prose, Text
from app.http.edge.idempotency import idempotent, reserved
from app.http.edge.limiting import caller_address
from app.http.edge.paging import PageQuery, by_time, page_of
from app.http.edge.shapes import AccountSchema
from app.http.resources.posts import PostPage, account_id, card_page, first_page
from app.http.whole_pages.public_hits import hot, kept_thing
from app.services.feeds.page_windows import Window
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage
from app.services.people.accounts import ProfileChanges, Registration
from repositories.records.graph import Edge

blp = Blueprint("accounts", "Accounts: profiles, follows and blocks")

HANDLE = ma.validate.Regexp(r"^[A-Za-z0-9_]{3,30}(?!\n)$", error="Must be 3 to 30 of A-Za-z0-9_.")
# A URL with a host and without characters that a URL cannot have (RFC 3986; other letters are allowed as in RFC 3987).
URL = ma.validate.Regexp(
    r"^[Hh][Tt][Tt][Pp][Ss]?://[0-9A-Za-z\[\u00a1-\uffff]"
    r"[^\u0000-\u0020\"<>\\^`{|}\u007f-\u00a0\u2000-\u200f\u2028-\u202f\u3000]*(?!\n)$",
    error="Must be an http or https URL.",
)


class RegistrationSchema(ma.Schema):
    handle = Text(required=True, validate=HANDLE)
    email = MailAddress()
    password = NewPassword()
    display_name = Line(required=True, validate=ma.validate.Length(1, 80))


class ProfileChangesSchema(ma.Schema):
    handle = Text(validate=HANDLE)
    display_name = Line(validate=ma.validate.Length(1, 80))
    bio = Prose(validate=ma.validate.Length(max=2000))
    image_url = Text(allow_none=True, validate=[ma.validate.Length(max=2000), URL])


class OwnAccountSchema(AccountSchema):
    email = ma.fields.String(required=True)
    email_verified = ma.fields.Boolean(required=True)


class AccountStatsSchema(ma.Schema):
    followers = ma.fields.Integer(required=True)
    following = ma.fields.Integer(required=True)
    posts = ma.fields.Integer(required=True)


class AccountViewerSchema(ma.Schema):
    following = ma.fields.Boolean(required=True)
    follows_you = ma.fields.Boolean(required=True)
    blocking = ma.fields.Boolean(required=True)


class AccountCardSchema(ma.Schema):
    account = ma.fields.Nested(AccountSchema, required=True)
    stats = ma.fields.Nested(AccountStatsSchema, required=True)
    viewer = ma.fields.Nested(AccountViewerSchema)


class OwnAccountCardSchema(AccountCardSchema):
    account = ma.fields.Nested(OwnAccountSchema, required=True)


AccountPage = page_of(AccountCardSchema, "AccountPage")


@blp.post("/accounts")
@anonymous
@budget(relational=15, cache=2)
@blp.arguments(RegistrationSchema)
@blp.response(201, OwnAccountCardSchema, headers=LOCATION)
@blp.raises(409, 429, 503)
@idempotent()
def create_account(wanted: dict[str, Any]) -> Response:
    """Register an account."""
    container().people.throttle.join(caller_address())
    account = container().people.accounts.register(Registration(**wanted), reserved())
    card = container().pages.cards.new_account(account, wanted["email"])
    return answers.thing(card.body, card.version, 201, f"{BASE}/accounts/{account.handle}")


@blp.get("/accounts/me")
@private
@budget(relational=4, documents=1, sessions=1, cache=3)
@blp.response(200, OwnAccountCardSchema)
def get_own_account() -> Response:
    """Get your own account, with its e-mail address."""
    return _own_card()


@blp.patch("/accounts/me")
@private
@budget(relational=8, documents=1, sessions=1, cache=6)
@blp.arguments(ProfileChangesSchema)
@blp.response(200, OwnAccountCardSchema)
@blp.conditional
@blp.raises(409)
def update_own_account(changes: dict[str, Any]) -> Response:
    """Change your own account. Requires If-Match."""
    container().people.accounts.edit(caller(), cast("ProfileChanges", changes), if_match())
    return _own_card()


@blp.get("/accounts/me/blocks")
@private
@budget(relational=4, documents=1, sessions=1, cache=3)
@blp.arguments(PageQuery, location="query")
@blp.response(200, AccountPage)
def list_blocks(query: dict[str, Any]) -> Response:
    """List the accounts you block, the most recent block first."""
    scope, before, limit = _edge_window("blocks", caller(), query)
    edges = container().stores.relational.graph.blocked(caller(), before=before, limit=limit + 1)
    return _edge_page(scope, edges, limit)


@blp.get("/accounts/<handle:handle>")
@public
@shared(10, 10)
@budget(relational=6, documents=1, sessions=1, cache=12)
@blp.response(200, AccountCardSchema)
@blp.raises(404)
def get_account(handle: str) -> Response:
    """Get an account."""
    return hot(lambda used: kept_thing(container().pages.cards.profile(handle, used)))


@blp.get("/accounts/<handle:handle>/posts")
@public
@shared(10, 10)
@budget(relational=5, documents=4, feeds=2, sessions=1, cache=18)
@blp.arguments(PageQuery, location="query")
@blp.response(200, PostPage)
@blp.raises(404)
def list_account_posts(query: dict[str, Any], handle: str) -> Response:
    """List an account's posts, newest first."""
    if query["cursor"] is None:
        return hot(lambda used: _first_posts(handle, query["limit"], used))
    account = account_id(handle)
    scope = _posts_of(account)
    window = Window(limit=query["limit"], before=cursors().id(scope, query["cursor"]))
    page = container().pages.cards.timeline(account, window, viewer())
    return card_page(scope, page.items, [str(page.onward)] if page.onward else None)


@blp.get("/accounts/<handle:handle>/followers")
@public
@shared(10, 10)
@budget(relational=5, documents=1, sessions=1, cache=6)
@blp.arguments(PageQuery, location="query")
@blp.response(200, AccountPage)
@blp.raises(404)
def list_followers(query: dict[str, Any], handle: str) -> Response:
    """List the followers of an account, the most recent follow first."""
    account = account_id(handle)
    scope, before, limit = _edge_window("followers", account, query)
    edges = container().stores.relational.graph.followers(account, before=before, limit=limit + 1)
    return _edge_page(scope, edges, limit)


@blp.get("/accounts/<handle:handle>/following")
@public
@shared(10, 10)
@budget(relational=5, documents=1, sessions=1, cache=6)
@blp.arguments(PageQuery, location="query")
@blp.response(200, AccountPage)
@blp.raises(404)
def list_following(query: dict[str, Any], handle: str) -> Response:
    """List the accounts that an account follows, the most recent follow first."""
    account = account_id(handle)
    scope, before, limit = _edge_window("following", account, query)
    edges = container().stores.relational.graph.following(account, before=before, limit=limit + 1)
    return _edge_page(scope, edges, limit)


@blp.put("/accounts/<handle:handle>/follow")
@private
@budget(relational=8, sessions=1, cache=1)
@blp.response(204)
@blp.raises(403, 404, 409)
def follow_account(handle: str) -> Response:
    """Follow an account."""
    container().people.graph.follow(caller(), container().people.accounts.by_handle(handle).id)
    return answers.nothing()


@blp.delete("/accounts/<handle:handle>/follow")
@private
@budget(relational=8, sessions=1, cache=1)
@blp.response(204)
@blp.raises(404, 409)
def unfollow_account(handle: str) -> Response:
    """Unfollow an account."""
    container().people.graph.unfollow(caller(), container().people.accounts.by_handle(handle).id)
    return answers.nothing()


@blp.put("/accounts/<handle:handle>/block")
@private
@budget(relational=9, sessions=1, cache=1)
@blp.response(204)
@blp.raises(404, 409)
def block_account(handle: str) -> Response:
    """Block an account. Ends the follows in both directions and keeps each account's posts out of the other's feed."""
    container().people.graph.block(caller(), container().people.accounts.by_handle(handle).id)
    return answers.nothing()


@blp.delete("/accounts/<handle:handle>/block")
@private
@budget(relational=5, sessions=1, cache=1)
@blp.response(204)
@blp.raises(404, 409)
def unblock_account(handle: str) -> Response:
    """Unblock an account."""
    container().people.graph.unblock(caller(), container().people.accounts.by_handle(handle).id)
    return answers.nothing()


def _own_card() -> Response:
    card = container().pages.cards.own(caller(), container().people.accounts.login(caller()))
    return answers.thing(card.body, card.version)


def _first_posts(handle: str, limit: int, used: Used | None) -> WholePage:
    account = account_id(handle, used)
    return first_page(_posts_of(account), container().pages.first.of_author(limit, account, used), used)


def _posts_of(account: UUID) -> str:
    return f"account-posts:{account}"


def _edge_window(kind: str, account: UUID, query: dict[str, Any]) -> tuple[str, Edge | None, int]:
    scope = f"{kind}:{account}"
    before = cursors().time(scope, query["cursor"])
    return scope, Edge(before.id, before.at) if before else None, query["limit"]


def _edge_page(scope: str, edges: list[Edge], limit: int) -> Response:
    """A page of accounts. `edges` has up to one more than `limit`, which tells whether there is a next page."""
    shown = edges[:limit]
    cards = container().pages.cards.accounts([e.account_id for e in shown], viewer())
    onward = cursors().onward(scope, edges, limit, lambda last: by_time(last.since, last.account_id))
    return answers.page([card.body for card in cards], onward)
