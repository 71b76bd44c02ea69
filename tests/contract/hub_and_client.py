"""A hub, its user alice and a repository, for every test module that has none of its own; and how to go without Xet.

What is heavy is imported inside: this module is loaded for every run, also for one of a single unit test.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from running_hub import RunningHub

# huggingface_hub itself sends LFS parts in a way that its HTTP library deprecates.
BY_LFS = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.usefixtures("without_xet"),
]
"""The `pytestmark` of a module whose files go up and come down by LFS."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[RunningHub]":
    """A hub that the tests of a module share."""
    from running_hub import running_hub

    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def api(hub: "RunningHub") -> "HfApi":
    """The client of alice, who may write."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=hub.user("alice"))


@pytest.fixture
def repo(api: "HfApi", request: pytest.FixtureRequest) -> str:
    """The name of an empty repository of models, of this test alone."""
    from hub_client import new_repository

    return new_repository(api, request.node.name)


@pytest.fixture
def without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client of huggingface_hub send and fetch by LFS."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
