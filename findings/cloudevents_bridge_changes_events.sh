#!/usr/bin/env bash
# Expected: A bridge that receives CloudEvents in structured mode and sends them on in binary mode, both by the Python
# SDK, sends the same events: the modes of the specification are two forms of one event.
# Observed: Only if `data` is an object. An array is written as Python prints it, `[1, {'a': True}]`, which is not JSON,
# and the receiver has a text. A string loses its quotes, so that "42" arrives as the number 42, and "{}" as an object.
# A boolean extension becomes `True`, for which the specification has `true`. And an event without the optional
# attribute `time` gets one when it is read: the time of reading, another one at each delivery. The structured mode
# keeps all but the last. The same holds for HTTP and for Kafka.
source "$(dirname "$0")/start.sh"
install cloudevents==2.2.0
python - <<'PYTHON'
import importlib.metadata as packages
import json

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat

print("cloudevents", packages.version("cloudevents"))
form = JSONFormat()
first = {"specversion": "1.0", "id": "1", "type": "order.placed", "source": "/shop", "datacontenttype": "application/json"}


def read(data, **attributes):
    """The event that the bridge receives."""
    body = json.dumps({**first, "time": "2026-11-29T12:00:00Z", **attributes, "data": data}).encode()
    return http.from_structured(http.HTTPMessage({"content-type": "application/cloudevents+json"}, body), form)


def sent_on(event):
    """The body that the bridge sends in binary mode, and the data that the next receiver has."""
    by_http, by_kafka = http.to_binary(event, form), kafka.to_binary(event, form)
    assert by_http.body == by_kafka.value
    again = http.from_structured(http.to_structured(event, form), form)
    assert again.get_data() == event.get_data(), "the structured mode keeps the data"
    return by_http.body.decode(), http.from_binary(by_http, form).get_data()


seen = {}
for data in ({"a": True}, [1, {"a": True}], "42", "{}", True):
    body, received = seen[json.dumps(data)] = sent_on(read(data))
    print(f"data {json.dumps(data):16} is sent as {body:18} and received as {received!r}")
flag = http.to_binary(read({}, urgent=True), form).headers["ce-urgent"]
print(f"the extension \"urgent\": true is sent as ce-urgent: {flag}")
plain = json.dumps({**first, "data": {}}).encode()
message = http.HTTPMessage({"content-type": "application/cloudevents+json"}, plain)
times = [http.from_structured(message, form).get_time() for _ in range(2)]
print("the times of an event without one, read twice:", *times, sep=" ")
assert seen == {
    '{"a": true}': ('{"a": true}', {"a": True}),
    '[1, {"a": true}]': ("[1, {'a': True}]", "[1, {'a': True}]"),
    '"42"': ("42", 42),
    '"{}"': ("{}", {}),
    "true": ("True", "True"),
}, "the behaviour has changed"
assert flag == "True", "the behaviour has changed"
assert None not in times and times[0] != times[1], "the behaviour has changed"
PYTHON
