"""What Alembic runs: on the connection that `migrate` hands over, inside of its transaction."""

from alembic import context

from weighbridge.hub.database.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, transactional_ddl=True)
context.run_migrations()
