"""The data set, loaded once for all of these tests, and the statements that the application ran over it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

from app.seed.plan import Plan
from config import Settings
from repositories.documents import open_store as open_documents
from repositories.documents.mongo.monitoring import CommandWatch
from repositories.postgres.batches import Batches
from repositories.relational import open_store as open_relational
from tests.apps import PASSWORD, embedded, running
from tests.apps import ROLES as ALL_ROLES
from tests.engines import Shared
from tests.http.world import ShiftedClock, World
from tests.system.plans import data, exercise, mongo_plans, sql_plans
from tests.system.plans.ports import RunningMethods
from tests.system.plans.recording import Command, Commands, Statement, Statements
from tests.system.plans.spread import Spread, Transactions
from tests.system.real import real_urls


@dataclass(frozen=True)
class RecordedStatements:
    """All recorded statements and commands, and the planners that explain them."""

    statements: list[Statement]
    commands: list[Command]
    sql: sql_plans.Planner
    mongo: mongo_plans.Planner
    spread: Spread
    ordered: dict[str, set[tuple[str, str]]]


@contextmanager
def labelled(asking: RunningMethods, settings: Settings) -> Iterator[None]:
    """Label the methods of the ports. Must precede building the container: wrappers of a store keep its methods."""
    relational = open_relational(settings.relational_url, timeout=settings.seconds("relational"), pool=1)
    documents = open_documents(settings.documents_url, timeout=settings.seconds("documents"), pool=1)
    with closing(relational), closing(documents), asking.installed(relational, documents):
        yield


@contextmanager
def watched(commands: Commands) -> Iterator[None]:
    """Let `commands` listen to every client that the adapter makes within the block."""

    class Both(CommandWatch):
        def started(self, event: CommandStartedEvent) -> None:
            commands.started(event)
            super().started(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repositories.documents.mongo.client.CommandWatch", Both)
        yield


@contextmanager
def unbatched() -> Iterator[None]:
    """Send each statement at once, instead of together with a later one of another method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "sends_together", False)
        yield


@pytest.fixture(scope="session")
def asked(engines: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedStatements]:
    urls = real_urls(engines, "plans", data.ROLES)
    slow: dict[str, Any] = {f"{role}_timeout": 60.0 for role in ALL_ROLES}
    settings = Settings(**embedded(tmp_path_factory.mktemp("plans")) | urls, **slow)
    asking, clock = RunningMethods(), ShiftedClock()
    commands, statements = Commands(asking), Statements(asking)
    plan = Plan(data.SIZES)
    with labelled(asking, settings), watched(commands), running(settings, clock) as system:
        container = system.container
        data.fill(container, plan, container.people.hasher.hash(PASSWORD))
        data.settle(settings.relational_url)
        transactions = Transactions(settings.relational_url)
        with unbatched(), statements.listening(), commands.listening(), transactions.listening():
            exercise.everything(World(system, clock, real=True), plan)
        with (
            closing(sql_plans.Planner(settings.relational_url)) as sql,
            closing(mongo_plans.Planner(settings.documents_url)) as mongo,
        ):
            yield RecordedStatements(
                statements.kept, commands.kept, sql, mongo, transactions.spread(), transactions.ordered
            )
