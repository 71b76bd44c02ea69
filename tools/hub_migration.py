"""Write the Alembic migration that brings the hub's database to what `schema.py` says now.

python tools/hub_migration.py "what it does"
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from weighbridge.hub.database.connect import Database
from weighbridge.hub.database.migrate import alembic_config, migrate


def main() -> None:
    """Compare a database of all migrations so far with the tables, and write the difference."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'hub.sqlite'}")
        migrate(database)
        with database.write() as connection:
            config = alembic_config(connection)
            number = sum(1 for _ in _versions().glob("[0-9]*.py")) + 1
            command.revision(config, sys.argv[1], autogenerate=True, rev_id=f"{number:04d}")
        database.close()


def _versions() -> Path:
    import weighbridge.hub.database.migrations as migrations

    return Path(str(migrations.__file__)).parent / "versions"


if __name__ == "__main__":
    main()
