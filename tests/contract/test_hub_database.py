"""The hub's database: migrations, transactions and leases, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text, update

from weighbridge.errors import InputError
from weighbridge.hub.database.connect import Database, DatabaseError
from weighbridge.hub.database.lease import leased
from weighbridge.hub.database.migrate import NewerDatabaseError, migrate
from weighbridge.hub.database.schema import METADATA, server_value


@pytest.fixture
def opened(database: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(database or f"sqlite:///{tmp_path / 'hub.sqlite'}")
    migrate(opened)
    yield opened
    opened.close()


def test_migrations_make_exactly_the_tables_of_the_schema(opened: Database) -> None:
    with opened.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_several_processes_may_migrate_at_once(database: str, tmp_path: Path) -> None:
    address = database or f"sqlite:///{tmp_path / 'hub.sqlite'}"
    failed: list[BaseException] = []

    def work() -> None:
        own = Database(address)
        try:
            migrate(own)
        except DatabaseError as error:
            failed.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(opened: Database) -> None:
    with opened.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabaseError):
        migrate(opened)
    with opened.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_an_exception_rolls_everything_back(opened: Database) -> None:
    def fail() -> None:
        with opened.write() as connection:
            connection.execute(insert(server_value).values(name="a", value="1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with opened.read() as connection:
        assert connection.execute(select(server_value)).all() == []


def test_a_reading_transaction_sees_one_state(opened: Database) -> None:
    with opened.write() as connection:
        connection.execute(insert(server_value).values(name="a", value="1"))
    with opened.read() as reading:
        assert reading.execute(select(server_value.c.value)).scalar_one() == "1"
        with opened.write() as writing:
            writing.execute(update(server_value).values(value="2"))
        assert reading.execute(select(server_value.c.value)).scalar_one() == "1"


def test_writers_wait_for_each_other_and_lose_nothing(opened: Database) -> None:
    with opened.write() as connection:
        connection.execute(insert(server_value).values(name="count", value="0"))

    def add() -> None:
        for _ in range(10):
            with opened.write() as connection:
                found = connection.execute(select(server_value.c.value).with_for_update()).scalar_one()
                connection.execute(update(server_value).values(value=str(int(found) + 1)))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened.read() as connection:
        assert connection.execute(select(server_value.c.value)).scalar_one() == "80"


def test_one_holder_has_a_lease_until_it_ends_or_runs_out(opened: Database) -> None:
    with leased(opened, "job", holder="a", seconds=60, now_ms=lambda: 0) as first:
        with leased(opened, "job", holder="b", seconds=60, now_ms=lambda: 59_999) as second:
            assert (first, second) == (True, False)
        with leased(opened, "job", holder="c", seconds=60, now_ms=lambda: 60_000) as third:
            assert third
    with leased(opened, "job", holder="d", seconds=60, now_ms=lambda: 0) as fourth:
        assert fourth


@pytest.mark.parametrize("address", ["", "mysql://a/b", "sqlite://", "not an address"])
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        Database(address)


def test_a_database_that_is_away_is_an_error_without_its_password() -> None:
    away = Database("postgresql://me:hunter2@127.0.0.1:1/none")
    with pytest.raises(DatabaseError) as caught, away.read() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    assert "hunter2" not in str(caught.value)
