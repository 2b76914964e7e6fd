"""`/sessions`: signing in, listing signed-in devices, signing out."""

from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, anonymous, budget, private
from app.http.edge.deps import container, cursors, session
from app.http.edge.fields import Moment, Text
from app.http.edge.idempotency import idempotent
from app.http.edge.limiting import caller_address
from app.http.edge.paging import PageQuery, by_id, page_of
from app.http.edge.shapes import AccountSchema
from app.services.pages.fragments import account_part, encode, moment
from app.services.pages.whole_pages import unversioned
from repositories.records.people import Session

blp = Blueprint("sessions", "Signing in and out")


class LoginSchema(ma.Schema):
    login = Text(
        required=True, validate=ma.validate.Length(1, 254), metadata={"description": "handle or e-mail address"}
    )
    password = Text(required=True, validate=ma.validate.Length(1, 256))
    device = Text(load_default=None, allow_none=True, validate=ma.validate.Length(max=200))


class SignedInSchema(ma.Schema):
    token = ma.fields.String(required=True, metadata={"description": "shown once; send it as a bearer token"})
    expires_at = Moment(required=True)
    account = ma.fields.Nested(AccountSchema, required=True)


class SessionSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    device = ma.fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True)
    last_used_at = Moment("updated at most once every five minutes", required=True)
    last_address = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "address of the last use; for IPv6 only the network (/64)"},
    )
    current = ma.fields.Boolean(required=True)


SessionPage = page_of(SessionSchema, "SessionPage")


@blp.post("/sessions")
@anonymous
@budget(relational=4, sessions=1, cache=2)
@blp.arguments(LoginSchema)
@blp.response(201, SignedInSchema, headers=LOCATION)
@blp.raises(401, 429, 503)
@idempotent(kept=False)
def create_session(wanted: dict[str, Any]) -> Response:
    """Sign in with a handle or an e-mail address.

    An Idempotency-Key is accepted but not stored, since the response contains a secret: each sign-in creates a session.
    """
    people = container().people
    found = people.sessions.known(wanted["login"])
    with people.throttle.guess(str(found.account_id) if found else wanted["login"], caller_address()):
        signed = people.sessions.sign_in(found, wanted["password"], wanted["device"], caller_address())
    account = container().people.accounts.own(signed.session.account_id)
    body = {
        "token": signed.token,
        "expires_at": moment(signed.session.expires_at),
        "account": msgspec.Raw(account_part(account)),
    }
    answer = answers.plain(body, 201)
    answer.headers["Location"] = f"{BASE}/sessions/{signed.session.id}"
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


@blp.get("/sessions")
@private
@budget(sessions=2)
@blp.arguments(PageQuery, location="query")
@blp.response(200, SessionPage)
def list_sessions(query: dict[str, Any]) -> Response:
    """List your signed-in devices, newest first, with the time and address of their last use."""
    current = session()
    scope, limit = f"sessions:{current.account_id}", query["limit"]
    found = container().people.sessions.devices(current.account_id, before=cursors().id(scope, query["cursor"]))
    items = (session_item(s, current) for s in found[:limit])
    return answers.page(items, cursors().onward(scope, found, limit, by_id))


@blp.get("/sessions/<uuid:session_id>")
@private
@budget(sessions=2)
@blp.response(200, SessionSchema)
@blp.raises(404)
def get_session(session_id: UUID) -> Response:
    """Get one of your signed-in devices."""
    current = session()
    found = container().people.sessions.device(current.account_id, session_id)
    return answers.checked(unversioned(session_item(found, current)))


@blp.delete("/sessions/current")
@private
@budget(relational=3, sessions=2)
@blp.response(204)
@blp.raises(404)
def delete_current_session() -> Response:
    """Sign out this device."""
    container().people.sessions.end(session())
    return answers.nothing()


@blp.delete("/sessions/<uuid:session_id>")
@private
@budget(relational=3, sessions=3)
@blp.response(204)
@blp.raises(404)
def delete_session(session_id: UUID) -> Response:
    """Sign out one of your devices."""
    sessions = container().people.sessions
    sessions.end(sessions.device(session().account_id, session_id))
    return answers.nothing()


@blp.delete("/sessions")
@private
@budget(relational=3, sessions=2)
@blp.response(204)
def delete_other_sessions() -> Response:
    """Sign out every other device."""
    container().people.sessions.end_others(session())
    return answers.nothing()


def session_item(session: Session, current: Session) -> bytes:
    return encode(
        {
            "id": session.id,
            "device": session.device,
            "created_at": moment(session.created_at),
            "expires_at": moment(session.expires_at),
            "last_used_at": moment(session.used_at or session.created_at),
            "last_address": session.address,
            "current": session.id == current.id,
        }
    )
