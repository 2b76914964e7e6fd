"""A Flask hello: what the server and Flask cost by themselves."""

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}
