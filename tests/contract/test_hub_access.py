"""Gated access on a running hub, by the unmodified client of huggingface_hub and, where it has no call, by HTTP."""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from running_hub import RunningHub, running_hub
from sqlalchemy import delete

from weighbridge.hub.database.schema import account

REPO = "alice/gated"
TERMS = "Only for <b>research</b>."
CARD = f"""---
extra_gated_prompt: {TERMS}
extra_gated_fields:
  Affiliation: text
  Country: country
  Born: date_picker
  Where: ip_location
  Purpose:
    type: select
    options: [Research, {{label: Something else, value: other}}]
  I agree: checkbox
---
# A model
"""
ANSWERS: dict[str, Any] = {
    "Affiliation": "=1+1 Lab",
    "Country": "FR",
    "Born": "1990-01-31",
    "Purpose": "other",
    "I agree": True,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def hub(server: RunningHub) -> Iterator[RunningHub]:
    """A hub on which nobody is and nothing lies."""
    yield server
    with server.hub.database.write() as connection:
        connection.execute(delete(account))


def api_of(hub: RunningHub, user: str, **kind: Any) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.user(user, **kind))


def gated(hub: RunningHub, how: Literal["auto", "manual"] = "manual", *, card: str = "") -> HfApi:
    alice = api_of(hub, "alice")
    alice.create_repo(REPO)
    if card:
        push_card(alice, card)
    alice.update_repo_settings(REPO, gated=how)
    return alice


def push_card(api: HfApi, card: str) -> str:
    return api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=REPO).oid


def ask(hub: RunningHub, api: HfApi, **given: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {api.token}"} if api.token else {}
    return httpx2.post(f"{hub.endpoint}/{REPO}/ask-access", headers=headers, json=given)


def reads(api: HfApi) -> bool:
    try:
        api.get_hf_file_metadata(url=f"{api.endpoint}/{REPO}/resolve/main/.gitattributes", token=api.token)
    except GatedRepoError:
        return False
    return True


def refused(call: Any, *given: Any, **named: Any) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*given, **named)
    return int(caught.value.response.status_code)


def test_a_request_is_asked_accepted_cancelled_and_rejected(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        alice, bob = gated(hub), api_of(hub, "bob", role="read")
        assert not reads(bob)
        assert ask(hub, bob).json() == {"status": "pending"}
        assert not reads(bob)
        [request] = alice.list_pending_access_requests(REPO)
        assert (request.username, request.status, request.fields) == ("bob", "pending", None)
        alice.accept_access_request(REPO, "bob")
        assert reads(bob)
        assert [each.username for each in alice.list_accepted_access_requests(REPO)] == ["bob"]
        assert refused(alice.accept_access_request, REPO, "bob") == 404
        alice.cancel_access_request(REPO, request_id=request.request_id)
        assert not reads(bob)
        assert not list(alice.list_accepted_access_requests(REPO))
        alice.reject_access_request(REPO, "bob", rejection_reason="No.")
        assert not reads(bob)
        assert [each.username for each in alice.list_rejected_access_requests(REPO)] == ["bob"]
        assert ask(hub, bob).status_code == 403
        alice.grant_access(REPO, "bob")
        assert reads(bob)
        assert refused(alice.grant_access, REPO, "bob") == 400


def test_who_is_refused_is_told_where_to_ask(hub: RunningHub) -> None:
    alice, bob = api_of(hub, "alice"), api_of(hub, "bob")
    alice.create_repo("alice/rows", repo_type="dataset")
    alice.update_repo_settings("alice/rows", repo_type="dataset", gated="auto")
    with pytest.raises(GatedRepoError) as caught:
        bob.auth_check("alice/rows", repo_type="dataset")
    (path,) = re.findall(r"POST to (/\S+ask-access)", str(caught.value))
    httpx2.post(f"{hub.endpoint}{path}", headers={"Authorization": f"Bearer {bob.token}"}).raise_for_status()
    bob.auth_check("alice/rows", repo_type="dataset")


def test_an_automatic_gate_opens_at_once_and_only_for_who_asked(hub: RunningHub) -> None:
    alice, bob, carol = gated(hub, "auto"), api_of(hub, "bob"), api_of(hub, "carol")
    assert ask(hub, bob).json() == {"status": "accepted"}
    assert reads(bob)
    assert not reads(carol)
    assert not list(alice.list_pending_access_requests(REPO))
    assert ask(hub, HfApi(endpoint=hub.endpoint, token=False)).status_code == 401


def test_answers_are_checked_and_kept_with_the_text_of_the_terms(hub: RunningHub) -> None:
    alice, bob = gated(hub, card=CARD), api_of(hub, "bob")
    digest = hashlib.sha256(TERMS.encode()).hexdigest()
    for label in ANSWERS:
        answer = ask(hub, bob, **{each: value for each, value in ANSWERS.items() if each != label})
        assert answer.status_code == 400
        assert label in answer.json()["error"]
    for wrong in ({"I agree": False}, {"Purpose": "profit"}, {"Born": "yesterday"}, {"Affiliation": "x" * 2001}):
        assert ask(hub, bob, **{**ANSWERS, **wrong}).status_code == 400
    assert ask(hub, bob, **ANSWERS, terms_sha256="0" * 64).status_code == 409
    assert ask(hub, bob, **ANSWERS, terms_sha256=digest, Unasked="ignored").status_code == 200
    [request] = alice.list_pending_access_requests(REPO)
    commit = alice.model_info(REPO).sha
    assert request.fields == {**ANSWERS, "terms_sha256": digest, "terms_commit": commit}


def test_who_agrees_to_new_terms_is_recorded_with_them(hub: RunningHub) -> None:
    alice, bob = gated(hub, "auto", card=CARD), api_of(hub, "bob")
    assert ask(hub, bob, **ANSWERS).status_code == 200
    commit = push_card(alice, CARD.replace(TERMS, "Only on Sundays."))
    form = httpx2.get(f"{hub.endpoint}/{REPO}/ask-access", headers={"Authorization": f"Bearer {bob.token}"}).json()
    assert form["prompt"] == "Only on Sundays."
    assert form["status"] == "accepted"
    assert [field["type"] for field in form["fields"]] == ["text", "country", "date_picker", "select", "checkbox"]
    assert ask(hub, bob, **ANSWERS).json() == {"status": "accepted"}
    [request] = alice.list_accepted_access_requests(REPO)
    assert request.fields is not None
    assert request.fields["terms_sha256"] == hashlib.sha256(b"Only on Sundays.").hexdigest() == form["terms_sha256"]
    assert request.fields["terms_commit"] == commit


def test_a_form_of_a_browser_is_taken_too(hub: RunningHub) -> None:
    alice, bob = gated(hub, card=CARD), api_of(hub, "bob")
    headers = {"Authorization": f"Bearer {bob.token}"}
    sent = httpx2.post(f"{hub.endpoint}/{REPO}/ask-access", headers=headers, data={**ANSWERS, "I agree": "on"})
    assert sent.json() == {"status": "pending"}
    [request] = alice.list_pending_access_requests(REPO)
    assert request.fields is not None
    assert request.fields["Purpose"] == "other"


def test_long_lists_come_in_pages(hub: RunningHub) -> None:
    alice = gated(hub)
    names = [f"user{number}" for number in range(5)]
    for name in names:
        ask(hub, api_of(hub, name))
    address = f"{hub.endpoint}/api/models/{REPO}/user-access-request/pending?limit=2"
    headers = {"Authorization": f"Bearer {alice.token}"}
    seen: list[str] = []
    while address:
        page = httpx2.get(address, headers=headers)
        assert len(page.json()) <= 2
        seen += [each["user"]["user"] for each in page.json()]
        address = page.links.get("next", {}).get("url", "")
    assert seen == names


def test_the_report_lists_everybody_and_runs_no_formula(hub: RunningHub) -> None:
    alice, bob = gated(hub, card=CARD.replace("Affiliation: text", '"=cmd()": text')), api_of(hub, "bob")
    ask(hub, bob, **{**ANSWERS, "=cmd()": "=1"})
    alice.reject_access_request(REPO, "bob", rejection_reason="=HYPERLINK(1)")
    headers = {"Authorization": f"Bearer {alice.token}"}
    answer = httpx2.get(f"{hub.endpoint}/{REPO}/user-access-report", headers=headers)
    assert answer.headers["Content-Type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert row["username"] == "bob"
    assert row["rejection reason"] == "'=HYPERLINK(1)"
    assert row["fields"].startswith("{")
    other = httpx2.get(f"{hub.endpoint}/{REPO}/user-access-report", headers={"Authorization": f"Bearer {bob.token}"})
    assert other.status_code == 403


def test_only_who_may_write_sees_or_decides(hub: RunningHub) -> None:
    gated(hub)
    bob, mallory = api_of(hub, "bob"), api_of(hub, "mallory")
    ask(hub, bob)
    reader = HfApi(endpoint=hub.endpoint, token=hub.user("alice", role="read"))
    for other in (bob, mallory, reader):
        assert refused(lambda api=other: list(api.list_pending_access_requests(REPO))) == 403
        assert refused(other.accept_access_request, REPO, "bob") == 403
        assert refused(other.grant_access, REPO, "mallory") == 403
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    assert refused(nobody.grant_access, REPO, "bob") == 401
    assert not reads(bob)


def test_a_request_of_one_repository_is_not_decided_through_another(hub: RunningHub) -> None:
    alice, mallory, bob = gated(hub), api_of(hub, "mallory"), api_of(hub, "bob")
    ask(hub, bob)
    [request] = alice.list_pending_access_requests(REPO)
    mallory.create_repo("mallory/own")
    mallory.update_repo_settings("mallory/own", gated="manual")
    assert refused(mallory.accept_access_request, "mallory/own", request_id=request.request_id) == 404
    assert refused(mallory.accept_access_request, "mallory/own", "bob") == 404
    assert not reads(bob)


def test_what_cannot_be_is_answered_as_the_client_expects(hub: RunningHub) -> None:
    alice = api_of(hub, "alice")
    alice.create_repo(REPO)
    hub.user("bob")
    assert refused(lambda: list(alice.list_pending_access_requests(REPO))) == 400
    assert refused(alice.grant_access, REPO, "bob") == 400
    assert refused(alice.accept_access_request, REPO, "bob") == 400
    assert ask(hub, api_of(hub, "bob")).status_code == 400
    alice.update_repo_settings(REPO, gated="manual")
    assert refused(alice.grant_access, REPO, "nobody") == 404
    assert refused(alice.grant_access, REPO, "alice") == 400
    assert refused(alice.accept_access_request, REPO, "bob") == 404
    assert refused(alice.accept_access_request, REPO, request_id="f" * 24) == 404
    assert refused(alice.accept_access_request, REPO, request_id="x'; DROP TABLE") == 404
    assert refused(alice.reject_access_request, REPO, "bob", rejection_reason="x" * 201) == 400


def test_strange_names_and_huge_bodies_are_refused_in_order(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        alice, bob = gated(hub), api_of(hub, "bob")
        assert refused(alice.grant_access, REPO, "b\0ob") == 400
        grant = f"{hub.endpoint}/api/models/{REPO}/user-access-request/grant"
        mine = {"Authorization": f"Bearer {alice.token}"}
        assert httpx2.post(grant, headers=mine, content=b'{"user": "\\ud800"}').status_code == 400
        assert ask(hub, bob, padding="x" * 70_000).status_code == 413
        headers = {"Authorization": f"Bearer {bob.token}"}
        address = f"{hub.endpoint}/{REPO}/ask-access"
        assert httpx2.post(address, headers=headers, content=b"a=1&" * 1000).status_code == 400
        assert httpx2.post(address, headers=headers, content=b"\xff\xfe=1").status_code == 400
        assert ask(hub, bob, text="nul \0").status_code == 400


def test_nobody_learns_of_a_private_repository_by_asking(hub: RunningHub) -> None:
    alice, bob = gated(hub), api_of(hub, "bob")
    alice.update_repo_settings(REPO, private=True)
    answer = ask(hub, bob)
    assert answer.status_code == 404
    assert answer.headers["X-Error-Code"] == "RepoNotFound"
    with pytest.raises(RepositoryNotFoundError):
        list(bob.list_pending_access_requests(REPO))


def test_a_token_for_one_repository_does_not_agree_for_its_owner(hub: RunningHub) -> None:
    gated(hub)
    scope = {"type": "user", "name": "bob", "permissions": ["repo.write"]}
    narrow = api_of(hub, "bob", role="fineGrained", scopes=(scope,))
    assert ask(hub, narrow).status_code == 403


def test_the_gate_is_told_and_closes_the_card_too(hub: RunningHub) -> None:
    alice, bob = gated(hub, card=CARD), api_of(hub, "bob")
    with pytest.raises(GatedRepoError):
        bob.hf_hub_download(REPO, "README.md")
    assert alice.model_info(REPO).gated == "manual"
