"""A Flask hello: the cost of the server and Flask alone."""

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}
