#!/usr/bin/env bash
# Expected: `for line in request.stream`, Flask's way to read an upload line by line, yields every line of the body,
# with its line end, on each WSGI server (PEP 3333 requires of `wsgi.input` what it requires of a file).
# Observed: On granian the first line comes without its line end and is the only one: the rest of the body is lost,
# without an error. granian's own `readline` and iteration do that. Because granian sets `wsgi.input_terminated`,
# Werkzeug passes its input to the application unchanged, unless MAX_CONTENT_LENGTH is set, whose wrapper reads lines by
# itself. gunicorn yields all lines.
source "$(dirname "$0")/start.sh"
install granian==2.8.7 gunicorn==23.0.0 flask==3.1.3
cat >"$folder/app.py" <<'PYTHON'
from flask import Flask, request


def app(**settings):
    made = Flask(__name__)
    made.config.update(settings)
    made.add_url_rule("/", view_func=lambda: repr(list(request.stream)), methods=["POST"])
    return made


plain, limited = app(), app(MAX_CONTENT_LENGTH=1_000_000)
PYTHON
cd "$folder"
answer() { python -c "import os, urllib.request as u
print(u.urlopen('http://127.0.0.1:' + os.environ['PORT'], data=b'one\ntwo\nthree\n', timeout=10).read().decode())"; }
take_port; start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$port" app:plain
lost=$(answer)
take_port; start TERM 30 "$folder/venv/bin/granian" --interface wsgi --port "$port" app:limited
limited=$(answer)
take_port; start TERM 30 "$folder/venv/bin/gunicorn" --bind "127.0.0.1:$port" app:plain
kept=$(answer)
python -m pip list 2>/dev/null | grep -iE '^(granian|gunicorn|flask|werkzeug) '
echo "sent:                                      b'one\\ntwo\\nthree\\n'"
echo "lines on granian:                          $lost"
echo "lines on granian, with MAX_CONTENT_LENGTH: $limited"
echo "lines on gunicorn:                         $kept"
[ "$lost" = "[b'one']" ] && [ "$limited" = "$kept" ] && [ "$kept" = "[b'one\\n', b'two\\n', b'three\\n']" ] ||
  { echo "the behaviour has changed" >&2; exit 1; }
