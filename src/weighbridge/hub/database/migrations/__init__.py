"""Alembic's migrations of the hub's database, run by `weighbridge.hub.database.migrate`."""
