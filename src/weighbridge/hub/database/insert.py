"""INSERT in the words of the database at hand: both know `ON CONFLICT`, each by a construct of its own."""

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(connection: Connection, table: Table) -> Any:
    """Return an INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`, of PostgreSQL or SQLite."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
