"""What a hub answers becomes an error of ours, that says what to do next; recalled cards keep their text."""

from datetime import UTC, datetime

import pytest

httpx = pytest.importorskip("httpx2")
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # noqa: E402

from weighbridge.dossier.status import State, Status  # noqa: E402
from weighbridge.errors import HubError, InputError  # noqa: E402
from weighbridge.shell.hub.recalled_card import with_notice  # noqa: E402
from weighbridge.shell.hub.remote_address import checked_address, reading_address  # noqa: E402
from weighbridge.shell.hub.remote_errors import ConflictError, NotThereError, remote_errors  # noqa: E402

URL = "https://hub.example.org/api/models/acme/osprey"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "words"),
    [
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, HubError, "Make a new token"),
        (401, {"X-Error-Code": "RepoNotFound"}, NotThereError, "--token-env"),
        (403, {"X-Error-Code": "GatedRepo"}, HubError, "Agree to its conditions"),
        (403, {"X-Error-Message": "You may not."}, HubError, "write access"),
        (404, {"X-Error-Code": "RevisionNotFound"}, NotThereError, "Check the name"),
        (409, {}, ConflictError, "same time"),
        (412, {}, ConflictError, "same time"),
        (429, {"ratelimit": '"api";r=0;t=55'}, HubError, "Wait 55 seconds"),
        (429, {"Retry-After": "7"}, HubError, "Wait 7 seconds"),
        (503, {}, HubError, "Wait a while"),
    ],
)
def test_each_answer_has_its_error_and_its_hint(
    status: int, headers: dict[str, str], kind: type[HubError], words: str
) -> None:
    response = httpx.Response(status, headers=headers, request=httpx.Request("GET", URL))
    with pytest.raises(HubError) as caught, remote_errors("the place"):
        hf_raise_for_status(response)
    assert type(caught.value) is kind
    assert words in caught.value.hint
    assert caught.value.place == "the place"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no route"), httpx.ReadTimeout("slow"), RuntimeError("xet: broken"), KeyError("sha")]
)
def test_what_the_client_raises_of_its_own_is_translated(error: Exception) -> None:
    with pytest.raises(HubError), remote_errors("the place"):
        raise error


@pytest.mark.parametrize(
    "address",
    ["http://hub.example.org", "ftp://a", "https://", "https://a b", "https://u@h", "https://h/?q", "https://h:x"],
)
def test_an_address_that_cannot_be_used_safely_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        checked_address(address)


def test_a_token_is_sent_for_reading_only_where_the_person_said_so() -> None:
    environment = {"HF_TOKEN": "hf_a", "HF_ENDPOINT": "https://mine.example.org/", "OTHER": "hf_b"}
    assert reading_address("https://mine.example.org", environment=environment).token == "hf_a"
    assert reading_address("https://theirs.example.org", environment=environment).token == ""
    assert reading_address("https://theirs.example.org", "OTHER", environment).token == "hf_b"
    assert "hf_b" not in repr(reading_address("https://theirs.example.org", "OTHER", environment))


@pytest.mark.parametrize("card", ["---\nlicense: mit\n---\n\n# A\n", "# A\n", ""])
def test_a_recalled_card_keeps_its_text_and_says_it_once(card: str) -> None:
    status = Status(
        name="acme/osprey",
        digest="0" * 64,
        state=State.RECALLED,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        reason="It <b>leaks</b>",
        successor="acme/other",
    )
    once = with_notice(card, status)
    assert with_notice(once, status) == once
    assert once.startswith("---\n") == card.startswith("---\n")
    assert "<b>" not in once
    assert once.endswith(card[-4:])
