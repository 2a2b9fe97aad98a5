"""Turns a connection handed over by `feedback_store.database` into an Alembic run.

Alembic loads this file by path. It opens no database itself and reads no alembic.ini.
"""

from alembic import context

from feedback_store.models import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
