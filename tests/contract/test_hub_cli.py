"""`weighbridge hub user|token|org` beside a running server: what is changed holds from the next request on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_process import HubProcess, serving
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with serving(HubProcess(folder=tmp_path_factory.mktemp("cli") / "hub", workers=2)) as running:
        yield running


def _api(hub: HubProcess, user: str, *options: str) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.told("token", "add", user, *options)["token"])


def _user(hub: HubProcess, name: str) -> HfApi:
    hub.told("user", "add", name, "--full-name", f"{name} of the tests", "--email", f"{name}@example.org")
    return _api(hub, name, "--role", "write")


def _status(api: HfApi) -> int:
    """What the server answers to the token, asked three times: any of its processes may answer."""
    found = set()
    for _ in range(3):
        try:
            api.whoami()
            found.add(200)
        except HfHubHTTPError as error:
            found.add(error.response.status_code)
    (status,) = found
    return status


def test_a_user_is_made_listed_disabled_enabled_and_removed(hub: HubProcess) -> None:
    api = _user(hub, "ursula")
    assert api.whoami()["fullname"] == "ursula of the tests"
    (row,) = [row for row in hub.told("user", "list")["rows"] if row["name"] == "ursula"]
    assert row == {
        "name": "ursula",
        "full name": "ursula of the tests",
        "email": "ursula@example.org",
        "admin": False,
        "disabled": False,
    }
    api.create_repo("ursula/r", private=True)
    hub.told("user", "disable", "ursula")
    assert _status(api) == 401
    with pytest.raises(HfHubHTTPError):
        api.model_info("ursula/r")
    hub.told("user", "enable", "ursula")
    assert _status(api) == 200
    refused = hub.run("user", "remove", "ursula")
    assert refused.returncode != 0
    assert "owns 1 repositories" in refused.stderr
    api.delete_repo("ursula/r")
    hub.told("user", "remove", "ursula")
    assert _status(api) == 401


def test_a_revoked_token_is_refused_by_the_next_request(hub: HubProcess) -> None:
    api = _user(hub, "rita")
    assert _status(api) == 200
    (row,) = hub.told("token", "list", "rita")["rows"]
    assert row["ends"] == f"…{str(api.token)[-4:]}"
    hub.told("token", "revoke", str(row["id"]))
    assert _status(api) == 401
    (row,) = hub.told("token", "list", "rita")["rows"]
    assert row["revoked"]
    assert str(api.token) not in (hub.folder / "hub.sqlite").read_bytes().decode("latin-1")


def test_a_fine_grained_token_opens_what_its_scopes_name(hub: HubProcess) -> None:
    owner = _user(hub, "fiona")
    for name in ("one", "two"):
        owner.create_repo(f"fiona/{name}", private=True)
    narrow = _api(hub, "fiona", "--role", "fineGrained", "--scope", "model:fiona/one:repo.content.read")
    assert narrow.model_info("fiona/one").id == "fiona/one"
    with pytest.raises(RepositoryNotFoundError):
        narrow.model_info("fiona/two")
    with pytest.raises(HfHubHTTPError, match="403"):
        narrow.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="fiona/one")
    wide = _api(hub, "fiona", "--role", "fineGrained", "--scope", "user:fiona:repo.write,repo.content.read")
    wide.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="fiona/two")


def test_an_organisation_says_who_may_write(hub: HubProcess) -> None:
    boss, member = _user(hub, "boris"), _user(hub, "mia")
    hub.told("org", "add", "acme")
    hub.told("org", "set-role", "acme", "boris", "admin")
    boss.create_repo("acme/m", private=True)
    with pytest.raises(RepositoryNotFoundError):
        member.model_info("acme/m")
    hub.told("org", "set-role", "acme", "mia", "read")
    assert member.model_info("acme/m").id == "acme/m"
    with pytest.raises(HfHubHTTPError, match="403"):
        member.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="acme/m")
    hub.told("org", "set-role", "acme", "mia", "write")
    member.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="acme/m")
    assert hub.told("org", "members", "acme")["rows"] == [
        {"user": "boris", "role": "admin"},
        {"user": "mia", "role": "write"},
    ]
    hub.told("org", "remove-member", "acme", "mia")
    with pytest.raises(RepositoryNotFoundError):
        member.model_info("acme/m")
    assert [row["name"] for row in hub.told("org", "list")["rows"]] == ["acme"]
    assert hub.run("org", "remove", "acme").returncode != 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("user", "add", "a b"), "cannot be the name"),
        (("user", "add", "api"), "cannot be the name"),
        (("user", "add", "../x"), "cannot be the name"),
        (("user", "add", "operator"), "is taken"),
        (("user", "add", "OPERATOR"), "is taken"),
        (("user", "disable", "nobody-here"), "there is no user"),
        (("user", "remove", "nobody-here"), "there is no user"),
        (("token", "add", "nobody-here"), "there is no user"),
        (("token", "add", "operator", "--role", "fineGrained"), "at least one"),
        (("token", "add", "operator", "--scope", "model:a/b:repo.write"), "fine-grained"),
        (("token", "add", "operator", "--role", "fineGrained", "--scope", "model:a/b"), "this is no scope"),
        (("token", "add", "operator", "--role", "fineGrained", "--scope", "x:a/b:repo.write"), "cannot be in a scope"),
        (("token", "add", "operator", "--role", "fineGrained", "--scope", "model:a/b:root"), "not a permission"),
        (("token", "add", "operator", "--role", "fineGrained", "--scope", "model::repo.write"), "this is no scope"),
        (("token", "add", "operator", "--role", "owner"), "invalid choice"),
        (("token", "add", "operator", "--days", "nan"), "days"),
        (("token", "add", "operator", "--days", "-1"), "days"),
        (("token", "add", "operator", "--days", "1e300"), "days"),
        (("token", "revoke", "99999999"), "there is no token"),
        (("token", "revoke", "999999999999999999999999999"), "there is no token"),
        (("token", "revoke", "x"), "invalid"),
        (("token", "list", "nobody-here"), "there is no user"),
        (("org", "set-role", "operator", "operator", "read"), "there is no organisation"),
        (("org", "set-role", "nowhere", "operator", "king"), "invalid choice"),
        (("org", "members", "nowhere"), "there is no organisation"),
        (("user", ""), "invalid choice"),
        (("token", "frobnicate"), "invalid choice"),
        (("gc", "--grace=-1"), "keep unused bytes"),
        (("gc", "--grace=nan"), "keep unused bytes"),
        (("gc", "--grace=inf"), "keep unused bytes"),
        (("serve", "--grace=0"), "keep unused bytes"),
        (("serve", "--grace=inf"), "keep unused bytes"),
        (("serve", "--cache=inf"), "out of range"),
        (("serve", "--rate-limit=-1"), "out of range"),
        (("serve", "--workers=0"), "out of range"),
        (("serve", "--forwarded-allow-ips=10.0.0.1/8"), "has host bits set"),
    ],
)
def test_a_wrong_call_is_one_clear_sentence(hub: HubProcess, call: tuple[str, ...], said: str) -> None:
    done = hub.run(*call)
    assert done.returncode not in (0, -11)
    assert said in done.stderr, done.stderr
    assert "next:  " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_is_not_there_is_not_made_by_looking_at_it(tmp_path: Path) -> None:
    nowhere = HubProcess(folder=tmp_path / "nowhere")
    for call in (("user", "list"), ("token", "list"), ("verify",), ("gc",), ("backup", str(tmp_path / "copy"))):
        done = nowhere.run(*call)
        assert done.returncode != 0, call
        assert "there is no hub" in done.stderr, done.stderr
    assert not nowhere.folder.exists()


def test_every_list_is_one_json_document(hub: HubProcess) -> None:
    for call in (("user", "list"), ("token", "list"), ("org", "list")):
        done = hub.run(*call, "--json")
        assert done.returncode == 0
        assert isinstance(json.loads(done.stdout)["rows"], list)


def test_a_server_whose_first_process_was_killed_gives_its_port_back(tmp_path: Path) -> None:
    hub = HubProcess(folder=tmp_path / "hub", workers=2)
    hub.start()
    try:
        assert hub.process is not None
        hub.process.kill()  # not its workers
        hub._reap()
        hub.start()
        assert HfApi(endpoint=hub.endpoint, token=hub.token).whoami()["name"] == "operator"
    finally:
        hub.kill()
