"""Addresses that carry their own permission end with the token, and the right, by which they were asked for."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi
from running_hub import RunningHub, running_hub
from sqlalchemy import delete, select, update
from xet_calls import Cas, noise, prepared

from weighbridge.hub.accounts.register import disable, revoke_token
from weighbridge.hub.database.schema import account, membership, repository, token

MIB = 1024 * 1024
LARGE = b"large" * MIB


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("revocation") / "hub") as running:
        running.user("alice")
        running.user("bob")
        running.org("lab", alice="write", bob="write")
        HfApi(endpoint=running.endpoint, token=running.user("alice")).create_repo("lab/m", private=True)
        yield running


def asked(hub: RunningHub, secret: str, operation: str, data: bytes) -> str:
    """Return the address that a batch request is answered with."""
    objects = [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}]
    answer = httpx2.post(
        f"{hub.endpoint}/lab/m.git/info/lfs/objects/batch",
        json={"operation": operation, "transfers": ["basic"], "objects": objects},
        headers={"Authorization": f"Bearer {secret}"} if secret else {},
    )
    (found,) = answer.json()["objects"]
    return str(found["actions"][operation]["href"])


def of_secret(secret: str) -> Any:
    return token.c.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()


def revoked(hub: RunningHub, secret: str) -> None:
    with hub.hub.database.write() as connection:
        number = connection.execute(select(token.c.id).where(of_secret(secret))).scalar_one()
        revoke_token(connection, number, now_ms=hub.hub.now_ms())


def disabled(hub: RunningHub, _: str) -> None:
    with hub.hub.database.write() as connection:
        disable(connection, "bob", now_ms=hub.hub.now_ms())


def thrown_out(hub: RunningHub, _: str) -> None:
    with hub.hub.database.write() as connection:
        bob = connection.execute(select(account.c.id).where(account.c.name == "bob")).scalar_one()
        connection.execute(delete(membership).where(membership.c.user_id == bob))


@pytest.fixture
def restored(hub: RunningHub) -> Iterator[None]:
    yield
    with hub.hub.database.write() as connection:
        disable(connection, "bob", now_ms=None)
        bob = connection.execute(select(account.c.id).where(account.c.name == "bob")).scalar_one()
        lab = connection.execute(select(account.c.id).where(account.c.name == "lab")).scalar_one()
        connection.execute(delete(membership).where(membership.c.user_id == bob))
        connection.execute(membership.insert().values(org_id=lab, user_id=bob, role="write"))


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(("loses", "status"), [(revoked, 401), (disabled, 401), (thrown_out, 404)])
def test_an_lfs_address_ends_with_the_right_to_use_it(
    hub: RunningHub, loses: Callable[[RunningHub, str], None], status: int
) -> None:
    alice, bob = hub.user("alice"), hub.user("bob")
    data = LARGE + loses.__name__.encode()
    upload = asked(hub, bob, "upload", data)
    assert httpx2.put(asked(hub, alice, "upload", data), content=data).status_code == 200
    download = asked(hub, bob, "download", data)
    other = asked(hub, bob, "upload", data + b"other")
    assert httpx2.get(download).content == data
    loses(hub, bob)
    assert httpx2.get(download).status_code == status
    assert httpx2.put(other, content=data + b"other").status_code == status
    assert httpx2.put(upload, content=data).status_code == status
    assert httpx2.get(asked(hub, alice, "download", data)).content == data


@pytest.mark.usefixtures("restored")
def test_an_address_of_xorb_bytes_ends_with_the_token(hub: RunningHub) -> None:
    bob, sent = hub.user("bob"), prepared(noise(2 * MIB, 1))
    cas = Cas.of(hub.endpoint, bob, "lab/m")
    sent.send(cas)
    told = cas.ask("GET", f"/v1/reconstructions/{sent.hash}").document()
    (fetch, *_), *_ = told["fetch_info"].values()  # type: ignore[attr-defined]
    span = {"Range": f"bytes={fetch['url_range']['start']}-{fetch['url_range']['end']}"}
    assert httpx2.get(fetch["url"], headers=span).status_code == 206
    for changed in (fetch["url"].replace("&by=", "&by=1"), fetch["url"].replace("&of=", "&of=1")):
        assert httpx2.get(changed, headers=span).status_code == 403
    revoked(hub, bob)
    assert httpx2.get(fetch["url"], headers=span).status_code == 401


def test_an_address_that_nobody_in_particular_was_given_ends_when_the_repository_becomes_private(
    hub: RunningHub,
) -> None:
    alice = hub.user("alice")
    assert httpx2.put(asked(hub, alice, "upload", LARGE), content=LARGE).status_code == 200
    with hub.hub.database.write() as connection:
        connection.execute(update(repository).where(repository.c.full_name == "lab/m").values(visibility="public"))
    anonymous = asked(hub, "", "download", LARGE)
    assert httpx2.get(anonymous).content == LARGE
    with hub.hub.database.write() as connection:
        connection.execute(update(repository).where(repository.c.full_name == "lab/m").values(visibility="private"))
    assert httpx2.get(anonymous).status_code == 401


def test_a_permission_that_ends_while_the_bytes_arrive_keeps_them_out(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, data = hub.user("bob"), LARGE + b"meanwhile"
    address = asked(hub, bob, "upload", data)

    def halves() -> Iterator[bytes]:
        yield data[:MIB]
        revoked(hub, bob)
        yield data[MIB:]

    answer = httpx2.put(address, content=halves(), headers={"Content-Length": str(len(data))})
    assert answer.status_code == 401
    with pytest.raises(KeyError):
        asked(hub, hub.user("alice"), "download", data)
