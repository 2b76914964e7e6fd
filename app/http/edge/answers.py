"""Records to bytes, and bytes to answers. What cards are made of is in `app/services/pages/fragments.py`."""

from collections.abc import Iterable
from typing import Any

import msgspec
from flask import Response, request

from app.http.edge.caching import JSON, READS, is_known
from app.services.pages.fragments import account_part, encode, moment
from app.services.pages.whole_pages import Kept, tag_of
from app.services.people.sessions import SignedIn
from repositories.money_records import PROVIDER, Balance, Entry, Order, OrderLine, Transfer
from repositories.records import Account, Facets, Money, Session, TagCount


def session_item(session: Session, current: Session) -> bytes:
    return encode(
        {
            "id": session.id,
            "device": session.device,
            "created_at": moment(session.created_at),
            "expires_at": moment(session.expires_at),
            "current": session.id == current.id,
        }
    )


def signed_in(signed: SignedIn, account: Account) -> Response:
    body = {
        "token": signed.token,
        "expires_at": moment(signed.session.expires_at),
        "account": msgspec.Raw(account_part(account)),
    }
    return _answer(encode(body), 201)


def balance_item(balance: Balance) -> bytes:
    amounts = {"posted": balance.posted, "held": balance.held, "available": balance.available}
    return encode(
        {"currency": balance.currency} | {name: Money(amount, balance.currency) for name, amount in amounts.items()}
    )


def entry_item(entry: Entry, currency: str, other: Account | None) -> bytes:
    return encode(
        {
            "sequence": entry.sequence,
            "transfer_id": entry.transfer_id,
            "kind": entry.kind,
            "other": msgspec.Raw(account_part(other)) if other else None,
            "order_id": entry.order_id,
            "amount": Money(entry.amount, currency),
            "balance": Money(entry.balance, currency),
            "at": moment(entry.at),
        }
    )


def transfer_part(transfer: Transfer) -> bytes:
    return encode(
        {
            "id": transfer.id,
            "kind": transfer.kind,
            "from_id": None if transfer.debit == PROVIDER else transfer.debit,
            "to_id": transfer.credit,
            "amount": transfer.amount,
            "created_at": moment(transfer.created_at),
        }
    )


def order_part(order: Order) -> bytes:
    currency = order.total.currency
    return encode(
        {
            "id": order.id,
            "buyer_id": order.buyer_id,
            "state": order.state,
            "total": order.total,
            "refunded": Money(order.refunded, currency),
            "lines": [_line(line, currency) for line in order.lines],
            "created_at": moment(order.created_at),
            "updated_at": moment(order.moved_at or order.created_at),
            "version": order.version,
        }
    )


def tag_item(tag: TagCount) -> bytes:
    return encode(tag)


def listed(items: Iterable[bytes], onward: str | None, **more: Any) -> bytes:
    """A page of a list. `more` are further members beside `items` and `next`."""
    tail = b"".join(b"," + encode(name) + b":" + encode(value) for name, value in more.items())
    return b'{"items":[' + b",".join(items) + b'],"next":' + encode(onward) + tail + b"}"


def page(items: Iterable[bytes], onward: str | None, **more: Any) -> Response:
    """A page of a list, with the entity tag of all of it."""
    body = listed(items, onward, **more)
    return checked(Kept(body, tag_of(body), 0))


def thing(body: bytes, version: int, status: int = 200, location: str | None = None) -> Response:
    """One versioned thing with its strong entity tag; a 304 where the reader has just this representation."""
    answer = checked(Kept(body, tag_of(body, version), version), status)
    if location:
        answer.headers["Location"] = location
    return answer


def checked(made: Kept, status: int = 200) -> Response:
    """With its entity tag; a 304 where the reader has just this one."""
    sent = request.headers.get("If-None-Match") if request.method in READS else None
    known = status == 200 and is_known(made.etag, sent)
    answer = Response(status=304) if known else _answer(made.body, status)
    answer.headers["ETag"] = made.etag
    return answer


def plain(body: Any, status: int = 200) -> Response:
    return _answer(encode(body), status)


def created(body: bytes, location: str) -> Response:
    """A new thing without a version of its own."""
    answer = _answer(body, 201)
    answer.headers["Location"] = location
    return answer


def nothing() -> Response:
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    return answer


def facets_part(facets: Facets) -> dict[str, Any]:
    return {"counted": facets.counted, "category": facets.categories, "attributes": facets.attributes}


def _line(line: OrderLine, currency: str) -> dict[str, Any]:
    return {
        "product_id": line.product_id,
        "product_version": line.product_version,
        "title": line.title,
        "seller_id": line.seller_id,
        "unit_price": Money(line.unit_price, currency),
        "quantity": line.quantity,
    }


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type=JSON)
