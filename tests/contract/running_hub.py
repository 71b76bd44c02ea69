"""A hub server that runs in this process, for tests that speak to it by unmodified clients."""

import asyncio
import hashlib
import secrets
import socket
import string
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, select

from weighbridge.hub.database.schema import account, membership, token
from weighbridge.hub.http.app import build_app
from weighbridge.hub.http.connections import ConnectionLimits, answering
from weighbridge.hub.http.features import ROUTES
from weighbridge.hub.server import HubServer, HubSettings
from weighbridge.shell.hub.wiring import open_hub

_LETTERS = string.ascii_letters + string.digits


class Silent:
    """Progress that nobody sees."""

    def begin(self, text: str, total: int | None = None, *, unit: str = "bytes") -> Callable[[int], None]:
        return lambda amount: None

    def note(self, text: str) -> None:
        pass


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
    folder: Path,
    *,
    database: str = "",
    store: str = "",
    settings: HubSettings | None = None,
    limits: ConnectionLimits | None = None,
) -> Iterator[RunningHub]:
    """Serve a hub on a free port of loopback until the block ends."""
    hub = open_hub(folder, database=database, store=store, settings=settings)
    ready = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def _serve() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        stopped = asyncio.Event()
        async with answering(build_app(hub, ROUTES), listening, limits or ConnectionLimits.fitting()):
            running.append((asyncio.get_running_loop(), stopped, listening.getsockname()[1]))
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(_serve()), name="hub-server", daemon=True)
    thread.start()
    assert ready.wait(30)
    ((loop, stopped, port),) = running
    try:
        yield RunningHub(endpoint=f"http://127.0.0.1:{port}", hub=hub)
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(30)
        hub.database.close()
