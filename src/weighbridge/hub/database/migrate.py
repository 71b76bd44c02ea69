"""Bring a database to the tables that this version needs.

A new migration: change `schema.py`, then run `python tools/hub_migration.py "what it does"`, read what it wrote, and
commit both. A test holds the migrations and `schema.py` together.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from weighbridge.errors import HubError
from weighbridge.hub.database.connect import Database

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 7310415527
"""Any number, the same in every process: PostgreSQL's advisory lock while one of them migrates."""


class NewerDatabaseError(HubError):
    """A newer Weighbridge has changed this database."""

    hint = "Update Weighbridge, or restore the backup that was made before."


def migrate(database: Database) -> None:
    """Create the tables or change them to the newest form; several processes at once do it once.

    Raises:
        NewerDatabaseError: if the database is of a newer version.
        DatabaseError: if it cannot be changed; it stays as it was.
    """
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    head = scripts.get_current_head()
    with database.read() as connection:
        if _revision(connection) == head:
            return
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        try:
            command.upgrade(alembic_config(connection), "head")
        except CommandError as error:
            raise NewerDatabaseError(
                f"its tables are not known here: {error}", place=database.url.render_as_string()
            ) from error


def alembic_config(connection: Connection) -> "Config":
    """Return what Alembic's commands take, for this connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()
