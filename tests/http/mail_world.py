"""A world with a mail server, and helpers for mailed tokens."""

from typing import Any

from tests.apps import Person
from tests.http.world import World
from tests.mail_server import MailHandler

NEW = "seven grey pigeons"


class MailWorld(World):
    """A world with a mail server."""

    kept: MailHandler

    def carried(self) -> list[str]:
        """The tokens of all mails received so far."""
        self.drained()
        return self.kept.tokens

    def mailed(self) -> str:
        return self.carried()[-1]


def forgot(world: World, email: str, status: int = 204) -> Any:
    answer = world.system.anybody().send("POST", "/password-resets", json={"email": email})
    assert answer.status_code == status, answer.text
    assert status >= 400 or answer.data == b""
    return answer


def reset(world: World, token: str, status: int = 204, new: str = NEW) -> Any:
    return world.system.anybody().post("/password-resets/confirm", {"token": token, "new_password": new}, status)


def signs_in(world: World, password: str, status: int = 201) -> Person:
    who = world.system.anybody()
    who.token = who.post("/sessions", {"login": "ada", "password": password}, status).get("token")
    return who
