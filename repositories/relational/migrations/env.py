"""The environment that Alembic runs migrations in. It uses the caller's connection and transaction."""

from alembic import context

from repositories.relational.migrations.own_tables import is_ours
from repositories.relational.schema.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, include_name=is_ours)
with context.begin_transaction():
    context.run_migrations()
