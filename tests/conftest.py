"""What the whole suite shares: the fixtures of its folders, and who runs what where several processes run it."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling
    from xdist.workermanage import Producer

# A folder's fixtures live beside their users; there is one `conftest`, since two modules of one name confuse mypy.
pytest_plugins = (
    "attacked_hub",
    "evil_source",
    "example_release",
    "hub_and_client",
    "hub_databases",
    "s3_server",
    "tiny",
    "tuf_fixtures",
    "two_hubs",
)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process has a core; numerical libraries that start a thread a core would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MOST_OF_A_NAME = 100
LONGEST_FIRST = ("tests/journey/", "tests/contract/", "tests/pages/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left with it while the others idle."""
    items.sort(key=lambda item: _rank(item.nodeid))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Call a long parameter long: keys differ in each process, and a name goes to all that its test starts."""
    return f"long {argname}" if isinstance(val, str | bytes) and len(val) > MOST_OF_A_NAME else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Give a process whole files, for the models that their fixtures load, and one process the whole journey."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/journey" if file.startswith("tests/journey/") else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


def _rank(nodeid: str) -> int:
    found: Sequence[int] = [rank for rank, folder in enumerate(LONGEST_FIRST) if nodeid.startswith(folder)]
    return found[0] if found else len(LONGEST_FIRST)
