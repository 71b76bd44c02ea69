"""A hub server that runs in this process, for tests that speak to it by unmodified clients."""

import asyncio
import hashlib
import secrets
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from sqlalchemy import insert, select

from weighbridge.hub.database.schema import account, membership, token
from weighbridge.hub.http.app import build_app
from weighbridge.hub.http.features import ROUTES
from weighbridge.hub.server import HubServer, HubSettings
from weighbridge.shell.hub.wiring import open_hub

_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningHub:
    """A hub, and where it answers."""

    endpoint: str
    hub: HubServer

    def user(
        self, name: str, *, role: str = "write", is_admin: bool = False, scopes: tuple[dict[str, object], ...] = ()
    ) -> str:
        """Make the user if there is none of this name, and return a new token of theirs."""
        with self.hub.database.write() as connection:
            found = connection.execute(select(account.c.id).where(account.c.name_key == name.lower())).scalar()
            if found is None:
                found = self._account(connection, name, "user", is_admin)
            secret = "hf_" + "".join(secrets.choice(_LETTERS) for _ in range(37))
            connection.execute(
                insert(token).values(
                    user_id=found,
                    name="test",
                    role=role,
                    secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
                    ending=secret[-4:],
                    scopes=list(scopes),
                    created_ms=self.hub.now_ms(),
                )
            )
        return secret

    def org(self, name: str, **roles: str) -> None:
        """Make an organisation with these users (who exist) in these roles."""
        with self.hub.database.write() as connection:
            org_id = self._account(connection, name, "org", False)
            for user, role in roles.items():
                user_id = connection.execute(select(account.c.id).where(account.c.name == user)).scalar_one()
                connection.execute(insert(membership).values(org_id=org_id, user_id=user_id, role=role))

    def _account(self, connection, name: str, kind: str, is_admin: bool) -> int:  # type: ignore[no-untyped-def]
        values = {"name": name, "name_key": name.lower(), "kind": kind, "is_admin": is_admin}
        made = connection.execute(insert(account).values(**values, created_ms=self.hub.now_ms()))
        return int(made.inserted_primary_key[0])


@contextmanager
def running_hub(
    folder: Path, *, database: str = "", store: str = "", settings: HubSettings | None = None
) -> Iterator[RunningHub]:
    """Serve a hub on a free port of loopback until the block ends."""
    hub = open_hub(folder, database=database, store=store, settings=settings)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    ports: list[int] = []

    async def _start() -> web.AppRunner:
        runner = web.AppRunner(build_app(hub, ROUTES), access_log=None, lingering_time=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        return runner

    def _serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(_start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=_serve, name="hub-server", daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield RunningHub(endpoint=f"http://127.0.0.1:{ports[0]}", hub=hub)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        hub.database.close()
