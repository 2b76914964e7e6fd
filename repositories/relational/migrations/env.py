"""What Alembic runs around the migrations. The caller's connection, and its transaction, are used."""

from alembic import context

from repositories.relational.migrations.own_tables import is_ours
from repositories.relational.schema.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, include_name=is_ours)
with context.begin_transaction():
    context.run_migrations()
