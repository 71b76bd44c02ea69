"""Databases for the tests of the hub server."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql_server import new_database, postgresql_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of this test run."""
    # Not among pytest's own folders: another run that starts beside this one closes them to the server's user.
    with (
        tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder,
        postgresql_server(Path(folder)) as address,
    ):
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """An address for `open_hub`, of a database that is empty; the empty one is the hub folder's own SQLite file."""
    if request.param == "sqlite":
        return ""
    return new_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def new_postgresql(postgresql: str) -> Callable[[], str]:
    """Makes an empty database on the server."""
    return lambda: new_database(postgresql)
