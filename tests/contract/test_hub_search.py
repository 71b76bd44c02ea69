"""Repositories found on a running hub, by huggingface_hub's client."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from filled_repository import api_of, commit, nobody
from huggingface_hub import HfApi, get_session
from huggingface_hub.errors import BadRequestError
from running_hub import RunningHub, running_hub
from sqlalchemy import insert, select, update

from weighbridge.hub.database.schema import account, repository, repository_tag

BOTH_DATABASES = pytest.mark.usefixtures("database")


@pytest.fixture
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningHub]:
    """On SQLite; on PostgreSQL too for tests that say `BOTH_DATABASES`: where the two could differ."""
    address = request.getfixturevalue("database") if "database" in request.fixturenames else ""
    with running_hub(tmp_path / "hub", database=address) as running:
        yield running


def _row(number: int, owner_id: int, **values: object) -> dict[str, object]:
    name = f"alice/m{number:04}"
    facts = {"kind": "model", "owner_id": owner_id, "full_name": name, "name_key": name, "visibility": "public"}
    times = {"created_ms": 1_700_000_000_000 + number, "modified_ms": 1_700_000_000_000 + number % 7}
    return {**facts, **times, "card": {}, "settings": {}, "downloads": number % 10, "likes": number % 5, **values}


def _fill(hub: RunningHub, count: int) -> HfApi:
    api = api_of(hub)
    with hub.hub.database.write() as connection:
        owner_id = connection.execute(select(account.c.id).where(account.c.name == "alice")).scalar_one()
        connection.execute(insert(repository), [_row(number, owner_id) for number in range(count)])
        connection.execute(
            update(repository).where(repository.c.name_key == "alice/m0003").values(visibility="private")
        )
        ids = connection.execute(select(repository.c.id).order_by(repository.c.id)).scalars().all()
        rows = [{"repository_id": each, "tag": f"n{index % 3}"} for index, each in enumerate(ids)]
        rows += [{"repository_id": each, "tag": "even"} for each in ids[::2]]
        connection.execute(insert(repository_tag), rows)
    return api


@BOTH_DATABASES
@pytest.mark.parametrize("sort", ["created_at", "downloads", "last_modified", "likes", "trending_score", None])
def test_pages_hold_every_repository_once_in_order(hub: RunningHub, sort: str | None) -> None:
    api = _fill(hub, 60)
    url = f"{hub.endpoint}/api/models?limit=7"
    names = {"created_at": "createdAt", "last_modified": "lastModified", "trending_score": "trendingScore"}
    if sort:
        url += f"&sort={names.get(sort, sort)}"
    seen: list[dict[str, object]] = []
    pages = 0
    while url:
        answer = get_session().get(url, headers={"Authorization": f"Bearer {api.token}"})
        seen += answer.json()
        url = answer.links.get("next", {}).get("url", "")
        pages += 1
    assert pages == 9
    assert sorted(str(item["id"]) for item in seen) == [f"alice/m{number:04}" for number in range(60)]
    key = names.get(sort or "last_modified", sort or "")
    values = [item[key] for item in seen]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert len(list(api.list_models(sort=sort, limit=13))) == 13  # type: ignore[arg-type]


def test_only_members_see_what_is_private(hub: RunningHub) -> None:
    api = _fill(hub, 10)
    assert len(list(api.list_models())) == 10
    assert len(list(nobody(hub).list_models())) == 9
    assert len(list(api_of(hub, "bob").list_models())) == 9
    hub.user("root", is_admin=True)
    assert len(list(api_of(hub, "root").list_models())) == 10


@BOTH_DATABASES
def test_a_fine_grained_token_lists_what_it_may_see(hub: RunningHub) -> None:
    _fill(hub, 10)
    seeing = {"permissions": ["repo.content.read"]}
    cases: tuple[tuple[dict[str, object], int], ...] = (
        ({"type": "user", "name": "Alice", **seeing}, 10),
        ({"type": "org", "name": "alice", **seeing}, 9),
        ({"type": "model", "name": "alice/M0003", **seeing}, 10),
        ({"type": "dataset", "name": "alice/m0003", **seeing}, 9),
        ({"type": "user", "name": "alice", "permissions": ["org.read"]}, 9),
    )
    for scope, count in cases:
        token = hub.user("alice", role="fineGrained", scopes=(scope,))
        assert len(list(HfApi(endpoint=hub.endpoint, token=token).list_models())) == count


@BOTH_DATABASES
def test_filters_narrow_a_list_together(hub: RunningHub) -> None:
    api = _fill(hub, 30)

    def names(**asked: object) -> list[str]:
        return sorted(item.id[-2:] for item in api.list_models(**asked))  # type: ignore[arg-type]

    assert names(filter="n0") == [f"{number:02}" for number in range(0, 30, 3)]
    assert names(filter=["n0", "even"]) == ["00", "06", "12", "18", "24"]
    assert names(search="M000") == [f"0{number}" for number in range(10)]
    assert names(search="000 9") == ["09"]
    assert names(search="m_0") == []
    assert names(search="100%") == []
    assert len(names(author="ALICE")) == 30
    assert names(author="bob") == []
    assert names(filter="n0", author="alice", search="m0003") == ["03"]
    assert names(pipeline_tag="fill-mask") == []
    assert names(inference="warm") == []
    assert names(gated=True) == []
    assert len(names(gated=False)) == 30
    assert api.list_datasets(author="alice") is not None
    assert list(api.list_datasets(author="alice")) == []


def test_a_hostile_question_is_refused_or_bounded(hub: RunningHub) -> None:
    api = _fill(hub, 5)
    for query in (
        "sort=owner_id",
        "cursor=x",
        "cursor=WyJhIiwgMV0=",
        "cursor=" + "A" * 5000,
        "limit=x",
        "num_parameters=min:x",
        "expand=password",
        "&".join(f"filter=t{number}" for number in range(40)),
    ):
        answer = get_session().get(f"{hub.endpoint}/api/models?{query}")
        assert answer.status_code == 400, query
    for query in ("limit=-1", "limit=99999999999", "search=%25%27%22--", "filter=%27", "direction=x", "gated=x"):
        answer = get_session().get(f"{hub.endpoint}/api/models?{query}")
        assert answer.status_code == 200, query
    with pytest.raises(BadRequestError):
        list(api.list_models(expand=["nonsense"]))  # type: ignore[list-item]


def test_lists_show_what_is_asked_for(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    head = commit(hub, "alice/model", {"README.md": b"---\nlicense: mit\nlanguage: en\n---\n", "config.json": b"{}"})
    (plain,) = api.list_models()
    assert (plain.id, plain.siblings, plain.card_data, plain.sha) == ("alice/model", None, None, None)
    assert plain.tags == ["en", "license:mit"]
    (full,) = api.list_models(full=True, cardData=True)
    assert full.sha == head
    assert [each.rfilename for each in full.siblings or ()] == [".gitattributes", "README.md", "config.json"]
    assert full.card_data is not None
    assert full.card_data["license"] == "mit"
    (some,) = api.list_models(expand=["sha", "downloads"])
    assert (some.sha, some.downloads, some.tags) == (head, 0, None)
    assert len(list(api.list_models(filter="license:mit"))) == 1
    assert len(list(api.list_models(filter="language:en"))) == 1


@BOTH_DATABASES
def test_datasets_and_spaces_are_found_by_their_own_filters(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/words", repo_type="dataset")
    card = b"---\ntask_categories: [translation]\nlanguage: [de]\nsize_categories: n<1K\n---\n"
    commit(hub, "alice/words", {"README.md": card}, kind="dataset")
    assert [item.id for item in api.list_datasets(task_categories="translation", language="de")] == ["alice/words"]
    assert [item.id for item in api.list_datasets(size_categories="n<1K", full=True)] == ["alice/words"]
    assert list(api.list_datasets(language="fr")) == []
    assert list(api.list_models()) == []
    api.create_repo("alice/demo", repo_type="space", space_sdk="gradio")
    commit(hub, "alice/demo", {"README.md": b"---\nsdk: gradio\nmodels: [alice/model]\n---\n"}, kind="space")
    assert [item.id for item in api.list_spaces(models="alice/model")] == ["alice/demo"]
    assert [item.id for item in api.list_spaces(filter="gradio", full=True)] == ["alice/demo"]
    assert list(itertools.islice(api.list_spaces(datasets="alice/words"), 5)) == []
    api.create_repo("alice/model")
    assert api.model_info("alice/model", expand=["spaces"]).spaces == ["alice/demo"]
    assert "task_categories" in api.get_dataset_tags()
