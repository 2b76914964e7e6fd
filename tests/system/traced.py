"""One story with a traced request: a person publishes, and a follower gets the live event and reads the page."""

import json
from typing import NamedTuple
from urllib.request import Request, urlopen

from tests.apps import BASE
from tests.recorded import FoundSpan, Spans
from tests.system.live import HOST, Answer, Live

PATIENCE = 20.0
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def tell(live: Live) -> Answer:
    """Run the story; returns the follower's page."""
    ada, bob = live.person(), live.person()
    bob.ask("PUT", f"/accounts/{ada.handle}/follow")
    stream = Request(f"http://{HOST}:{live.port}{BASE}/feed/stream", headers={"Authorization": f"Bearer {bob.token}"})
    with urlopen(stream, timeout=PATIENCE) as events:  # noqa: S310
        ada.send("POST", "/posts", {"title": "A", "body": "B"}, traceparent=f"00-{TRACE}-{SPAN}-01")
        news = next(line for line in events if line.startswith(b"data: "))
    parent = json.loads(news.removeprefix(b"data: "))["traceparent"]
    return bob.send("GET", "/feed", traceparent=parent)


class TracedStory(NamedTuple):
    """The spans of the story. `batch` is the trace of the relay's round that claimed the event."""

    published: FoundSpan
    processed: FoundSpan
    batch: str

    @property
    def traceparent(self) -> str:
        return f"00-{self.published.trace}-{self.published.id}-01"

    @property
    def link(self) -> tuple[str, str]:
        return self.published.trace, self.published.id


def told(story: Spans) -> TracedStory:
    """Check the trace from the request through the outbox, a relay and the fan-out to the page."""
    published, processed = story.one(f"POST {BASE}/posts"), story.one("process PostPublished")
    read = [one for one in story.named(f"GET {BASE}/feed") if one.trace == TRACE]
    assert (published.trace, published.parent) == (TRACE, SPAN)
    assert (processed.trace, processed.parent) == (TRACE, published.id)
    [(batch_trace, batch_id)] = processed.links
    [batch] = [one for one in story if one.id == batch_id]
    assert batch.trace == batch_trace != TRACE
    assert (published.trace, published.id) in batch.links
    assert read[0] in story.under(processed)
    return TracedStory(published, processed, batch_trace)
