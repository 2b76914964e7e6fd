"""For every route a function that prepares one call of it, with a given number of things to find."""

from typing import Any
from uuid import uuid4

from tests.apps import PASSWORD, Person
from tests.http import money_drives, product_drives
from tests.http.driving import DRIVES, FURTHER, Drive, Route, drive, simple
from tests.http.world import LAMP, Call, World
from tests.search_service import indexed

__all__ = ["DRIVES", "FURTHER", "Drive", "Route", "money_drives", "product_drives"]


def _published(world: World, n: int) -> tuple[Person, list[str]]:
    author = world.person()
    return author, [author.publish(f"Post {i}", tags=["lamps"]) for i in range(n)]


@drive("GET", "/search")
def _search(world: World, n: int) -> Call:
    word, author = f"w{uuid4().hex}", world.person()
    for _ in range(n):
        indexed("post", author.post("/posts", {"title": word, "body": "."}))
        indexed("product", author.post("/products", LAMP | {"title": word}))
    return Call(world.person(), "/search", query={"q": word, "limit": 100})


simple("GET", "/health/live", lambda w, _: Call(w.system.anybody(), "/health/live"))
simple("GET", "/health/ready", lambda w, _: Call(w.system.anybody(), "/health/ready"))


@drive("POST", "/accounts")
def _register(world: World, _: int) -> Call:
    name = f"new_{uuid4().hex[:12]}"
    body = {"handle": name, "email": f"{name}@example.com", "password": PASSWORD, "display_name": name}
    return Call(world.system.anybody(), "/accounts", body, keyed=True)


simple("GET", "/accounts/me", lambda w, _: Call(w.person(), "/accounts/me"))
simple("PATCH", "/accounts/me", lambda w, _: Call(w.person(), "/accounts/me", {"bio": "A life."}, etag="*"))


simple("GET", "/accounts/me/export", lambda w, _: Call(w.person(), "/accounts/me/export"))


@drive("GET", "/accounts/me/blocks")
def _blocks(world: World, n: int) -> Call:
    ada = world.person()
    for person in world.people(n):
        ada.put(f"/accounts/{person.handle}/block")
    return Call(ada, "/accounts/me/blocks", query={"limit": 100})


@drive("GET", "/accounts/<handle:handle>")
def _profile(world: World, _: int) -> Call:
    return Call(world.person(), f"/accounts/{world.person().handle}")


@drive("GET", "/accounts/<handle:handle>/posts")
def _account_posts(world: World, n: int) -> Call:
    author, _ = _published(world, n)
    return Call(world.person(), f"/accounts/{author.handle}/posts", query={"limit": 100})


@drive("GET", "/accounts/<handle:handle>/followers")
def _followers(world: World, n: int) -> Call:
    ada = world.person()
    for fan in world.people(n):
        fan.put(f"/accounts/{ada.handle}/follow")
    return Call(world.person(), f"/accounts/{ada.handle}/followers", query={"limit": 100})


@drive("GET", "/accounts/<handle:handle>/following")
def _following(world: World, n: int) -> Call:
    ada = world.person()
    for idol in world.people(n):
        ada.put(f"/accounts/{idol.handle}/follow")
    return Call(world.person(), f"/accounts/{ada.handle}/following", query={"limit": 100})


def _on_account(verb: str, *, before: str | None = None) -> Drive:
    def prepare(world: World, _: int) -> Call:
        ada, path = world.person(), f"/accounts/{world.person().handle}/{verb}"
        if before:
            ada.put(path)
        return Call(ada, path)

    return prepare


for _verb in ("follow", "block"):
    simple("PUT", f"/accounts/<handle:handle>/{_verb}", _on_account(_verb))
    simple("DELETE", f"/accounts/<handle:handle>/{_verb}", _on_account(_verb, before="put"))


@drive("POST", "/sessions")
def _sign_in(world: World, _: int) -> Call:
    return Call(world.system.anybody(), "/sessions", {"login": world.person().handle, "password": PASSWORD})


def _signed_in(world: World, n: int) -> Person:
    ada = world.person()
    for _ in range(n):
        world.system.anybody().post("/sessions", {"login": ada.handle, "password": PASSWORD})
    return ada


simple("GET", "/sessions", lambda w, n: Call(_signed_in(w, n), "/sessions", query={"limit": 100}))
simple("DELETE", "/sessions", lambda w, n: Call(_signed_in(w, n), "/sessions"))
simple("DELETE", "/sessions/current", lambda w, _: Call(w.person(), "/sessions/current"))


@drive("DELETE", "/sessions/<uuid:session_id>")
def _end_session(world: World, n: int) -> Call:
    ada = _signed_in(world, n)
    others = [s["id"] for s in ada.get("/sessions")["items"] if not s["current"]]
    return Call(ada, f"/sessions/{others[0]}")


@drive("GET", "/sessions/<uuid:session_id>")
def _device(world: World, n: int) -> Call:
    ada = _signed_in(world, n)
    return Call(ada, f"/sessions/{ada.get('/sessions')['items'][-1]['id']}")


@drive("POST", "/password-resets")
def _forgot(world: World, _: int) -> Call:
    return Call(
        world.system.anybody(), "/password-resets", {"email": f"{world.person().handle}@example.com"}, keyed=True
    )


@drive("POST", "/password-resets/confirm")
def _reset(world: World, _: int) -> Call:
    body = {"token": world.person().mailed("reset"), "new_password": "seven grey pigeons"}
    return Call(world.system.anybody(), "/password-resets/confirm", body, keyed=True)


@drive("POST", "/accounts/me/email-verification")
def _request_verification(world: World, _: int) -> Call:
    return Call(world.person(), "/accounts/me/email-verification", keyed=True)


@drive("POST", "/email-verifications/confirm")
def _confirm_verification(world: World, _: int) -> Call:
    return Call(
        world.system.anybody(), "/email-verifications/confirm", {"token": world.person().mailed("verify")}, keyed=True
    )


@drive("DELETE", "/accounts/me")
def _delete_account(world: World, n: int) -> Call:
    """An account with many things of each kind to remove."""
    ada, _ = _published(world, n)
    post = world.person().publish()
    for person in world.people(n):
        ada.put(f"/accounts/{person.handle}/follow")
        ada.put(f"/posts/{person.publish()}/like")
        ada.post(f"/posts/{post}/comments", {"body": "Well said."})
        ada.post("/products", LAMP)
    return Call(ada, "/accounts/me", {"password": PASSWORD})


@drive("PUT", "/accounts/me/password")
def _change_password(world: World, n: int) -> Call:
    body = {"current_password": PASSWORD, "new_password": "seven grey pigeons"}
    return Call(_signed_in(world, n), "/accounts/me/password", body)


@drive("PUT", "/accounts/me/email")
def _change_email(world: World, n: int) -> Call:
    ada = _signed_in(world, n)
    return Call(ada, "/accounts/me/email", {"password": PASSWORD, "email": f"{ada.handle}@example.org"})


@drive("POST", "/posts")
def _publish(world: World, n: int) -> Call:
    ada = world.person()
    products = [world.lamp(ada) for _ in range(min(n, 10))]
    body = {"title": "A post", "body": "Words.", "tags": [f"tag{i}" for i in range(10)], "product_ids": products}
    return Call(ada, "/posts", body, keyed=True)


@drive("GET", "/posts")
def _recent(world: World, n: int) -> Call:
    author, _ = _published(world, n)
    return Call(world.person(), "/posts", query={"limit": n, "tag": "lamps", "author": author.handle})


@drive("GET", "/tags")
def _tags(world: World, n: int) -> Call:
    author = world.person()
    for i in range(0, n, 10):
        author.publish(tags=[f"tag{i + j}" for j in range(10)])
    return Call(world.person(), "/tags", query={"limit": n})


def _post(
    body: Any = None, *, by: str = "author", after: str = "", etag: str | None = None, before: str | None = None
) -> Drive:
    def prepare(world: World, _: int) -> Call:
        author, (post,) = _published(world, 1)
        who = author if by == "author" else world.person()
        if before:
            who.put(f"/posts/{post}{after}")
        return Call(who, f"/posts/{post}{after}", body, etag=etag)

    return prepare


simple("GET", "/posts/<uuid:post_id>", _post(by="reader"))
simple("GET", "/posts/<uuid:post_id>/views", _post(by="reader", after="/views"))
simple("PATCH", "/posts/<uuid:post_id>", _post({"title": "Other"}, etag="*"))
simple("DELETE", "/posts/<uuid:post_id>", _post(etag="*"))
simple("PUT", "/posts/<uuid:post_id>/like", _post(by="reader", after="/like"))
simple("DELETE", "/posts/<uuid:post_id>/like", _post(by="reader", after="/like", before="put"))


@drive("GET", "/posts/<uuid:post_id>/comments")
def _comments(world: World, n: int) -> Call:
    post = _published(world, 1)[1][0]
    for person in world.people(n):
        person.post(f"/posts/{post}/comments", {"body": "Well said."})
    return Call(world.person(), f"/posts/{post}/comments", query={"limit": 100})


@drive("POST", "/posts/<uuid:post_id>/comments")
def _comment(world: World, _: int) -> Call:
    post = _published(world, 1)[1][0]
    return Call(world.person(), f"/posts/{post}/comments", {"body": "Well said."}, keyed=True)


@drive("GET", "/posts/<uuid:post_id>/comments/<number:number>")
def _one_comment(world: World, n: int) -> Call:
    post = _published(world, 1)[1][0]
    for person in world.people(n):
        person.post(f"/posts/{post}/comments", {"body": "Well said."})
    return Call(world.person(), f"/posts/{post}/comments/{n}")


@drive("DELETE", "/posts/<uuid:post_id>/comments/<number:number>")
def _uncomment(world: World, _: int) -> Call:
    post = _published(world, 1)[1][0]
    ada = world.person()
    number = ada.post(f"/posts/{post}/comments", {"body": "Well said."})["comment"]["number"]
    return Call(ada, f"/posts/{post}/comments/{number}")


@drive("GET", "/posts/<uuid:post_id>/delivery")
def _delivery(world: World, n: int) -> Call:
    author = world.person()
    for reader in world.people(n):
        reader.put(f"/accounts/{author.handle}/follow")
    post = author.publish()
    world.drained()
    return Call(author, f"/posts/{post}/delivery")


@drive("GET", "/feed")
def _feed(world: World, n: int) -> Call:
    """Half of the posts are dispatched, the others still in flight."""
    reader, authors = world.person(), world.people(n)
    for author in authors:
        reader.put(f"/accounts/{author.handle}/follow")
    for author in authors[::2]:
        author.publish()
    world.drained()
    for author in (authors[0], *authors[1::2]):
        author.publish()
    return Call(reader, "/feed", query={"limit": 100})


simple("GET", "/feed/stream", lambda w, _: Call(w.person(), "/feed/stream"))


def _noticed(world: World, n: int) -> Person:
    """A person with `n` notifications, each by another person."""
    ada = world.person()
    for person in world.people(n):
        person.put(f"/posts/{ada.publish()}/like")
    world.drained()
    return ada


simple("GET", "/notifications", lambda w, n: Call(_noticed(w, n), "/notifications", query={"limit": 100}))
simple("POST", "/notifications/read", lambda w, n: Call(_noticed(w, n), "/notifications/read", keyed=True))
