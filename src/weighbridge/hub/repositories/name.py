"""How a repository may be called, and where it lies."""

import re
from typing import Final

from weighbridge.hub.http.refusal import Refusal, bad_request

PREFIXES: Final = {"model": "", "dataset": "datasets/", "space": "spaces/", "bucket": "buckets/"}
MAX_NAME_CHARACTERS: Final = 96

# As `validate_repo_id` of huggingface_hub: what its users cannot ask for is not made either.
_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")


def check_name(name: object) -> str:
    """Return the name of a repository, without its owner's.

    Raises:
        Refusal: 400 if none may be called so.
    """
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise bad_request(
            "Invalid repository name: use at most 96 letters, digits, '-', '_' and '.', without '--' or '..', "
            "not beginning or ending with '-' or '.'."
        )
    if name.lower().endswith((".git", ".ipynb")):
        raise bad_request("Invalid repository name: it cannot end with '.git' or '.ipynb'.")
    return name


def split_full_name(full_name: object) -> tuple[str, str]:
    """Return owner and name of `owner/name`.

    Raises:
        Refusal: 400 if it is nothing of that form.
    """
    if not isinstance(full_name, str) or full_name.count("/") != 1:
        raise bad_request("A repository is named as owner/name.")
    owner, name = full_name.split("/")
    return owner, check_name(name)


def kind_of(value: object) -> str:
    """Return the kind of repository that a client names; a model if it names none.

    Raises:
        Refusal: 400 for an unknown one.
    """
    if value is None:
        return "model"
    if isinstance(value, str) and value in PREFIXES:
        return value
    raise bad_request("The type of a repository is model, dataset, space or bucket.")


def page_url(base_url: str, kind: str, full_name: str) -> str:
    """Return the address of the repository's page."""
    return f"{base_url}/{PREFIXES[kind]}{full_name}"


def taken(base_url: str, kind: str, full_name: str) -> Refusal:
    """Return the answer for a name that is in use: clients read the address from it."""
    return Refusal(
        409,
        f"You already created this {kind} repo: {full_name}",
        extra={"url": page_url(base_url, kind, full_name)},
    )
