"""The medium data set, once for all of these tests, and what the application asked over it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

from app.seed.plan import Plan
from app.seed.sizes import MEDIUM, sizes
from config import Settings
from repositories.documents import mongo_client
from tests.apps import PASSWORD, PlainHasher, embedded, running
from tests.apps import ROLES as ALL_ROLES
from tests.http.world import Shifted, World
from tests.system.plans import data, exercise, mongo_plans, sql_plans
from tests.system.plans.ports import Asking
from tests.system.plans.recording import Command, Commands, Statement, Statements
from tests.system.real import real_urls


@dataclass(frozen=True)
class Asked:
    """All that was asked, and who can say how it is answered."""

    statements: list[Statement]
    commands: list[Command]
    sql: sql_plans.Planner
    mongo: mongo_plans.Planner


@contextmanager
def watched(commands: Commands) -> Iterator[None]:
    """Whatever client the adapter makes in here, these listen to it."""
    made = mongo_client.CommandWatch

    class Both(made):  # type: ignore[misc, valid-type]
        def started(self, event: CommandStartedEvent) -> None:
            commands.started(event)
            super().started(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mongo_client, "CommandWatch", Both)
        yield


@pytest.fixture(scope="session")
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    if "PLANS_DEV" in os.environ:
        import json, psycopg
        urls = json.loads(os.environ["PLANS_DEV"])
        base = urls["relational_url"].rsplit("/", 1)[0]
        with psycopg.connect(base + "/postgres", autocommit=True) as c:
            c.execute("DROP DATABASE IF EXISTS devrun WITH (FORCE)")
            c.execute("CREATE DATABASE devrun TEMPLATE %s" % urls["relational_url"].rsplit("/", 1)[1])
        urls = urls | {"relational_url": base + "/devrun"}
    else:
        urls = real_urls(request.getfixturevalue("engines"), "plans", data.ROLES)
    slow: dict[str, Any] = {f"{role}_timeout": 60.0 for role in ALL_ROLES}
    settings = Settings(**embedded(tmp_path_factory.mktemp("plans")) | urls, **slow)
    asking, clock = Asking(), Shifted()
    commands, statements = Commands(asking), Statements(asking)
    plan = Plan(sizes(MEDIUM))
    with watched(commands), running(settings, clock) as system:
        container = system.container
        if "PLANS_DEV" in os.environ:
            plan.prepare()
        else:
            data.fill(container, plan, PlainHasher().hash(PASSWORD))
            data.settle(settings.relational_url)
        sql, mongo = sql_plans.Planner(settings.relational_url), mongo_plans.Planner(settings.documents_url)
        relational: Any = container.stores.relational
        engines = [relational._reading.engine, relational._writing.engine]
        with asking.installed(container), statements.listening(engines), commands.listening():
            exercise.everything(World(system, clock, real=True), plan)
        yield Asked(statements.kept, commands.kept, sql, mongo)
        sql.close()
        mongo.close()
