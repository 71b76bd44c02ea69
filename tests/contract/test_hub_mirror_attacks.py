"""What a hub that means harm can do to the one that pulls from it by the API: be refused, with a sentence."""

# ruff: noqa: E501 - what a source says is read as it is sent

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evil_source import COMMIT, INFO, LARGE, SHA256, Evil, Give, endless, evil_source, told
from running_hub import running_hub

from weighbridge.errors import WeighbridgeError
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.shell.hub.mirror_bounds import Bounds


def by_api(evil: Evil, **rows: Any) -> None:
    """Let the source tell of one file, and of itself what it must."""
    row = {"type": "file", "path": "w.bin", "oid": "a" * 40, "size": len(LARGE)}
    row |= {"lfs": {"oid": SHA256, "size": len(LARGE)}, **rows}
    evil.answers["/tree/"] = told([row])
    evil.answers["/resolve/"] = told(LARGE)
    evil.answers["/api/models/alice/m"] = told(INFO)


def test_the_source_that_means_well_is_pulled_from(tmp_path: Path) -> None:
    # What the others change, so that they fail for what they say.
    with running_hub(tmp_path / "hub") as fresh:
        fresh.user("alice")
        with evil_source(fresh) as source:
            source.answers["/refs"] = told(
                {"branches": [{"ref": "refs/heads/main", "targetCommit": COMMIT}], "tags": []}
            )
            source.answers["/commits/"] = told([{"id": COMMIT, "title": "t", "date": "2026-01-01T00:00:00Z"}])
            by_api(source)
            source.pull()


@pytest.mark.parametrize(
    "where",
    ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/x", "file:///etc/passwd", "http://[", "http://a:b/",
     "http://\u00e9\udc80/x", "gopher://127.0.0.1/", "http://..", "//", "http://127.0.0.1:99999/", "http://x y/\r\nX: y"],
)  # fmt: skip
def test_no_source_leads_elsewhere(evil: Evil, where: str) -> None:
    by_api(evil)
    location = where.replace("\r\n", "").encode("latin-1", "replace").decode("latin-1")
    evil.answers["/resolve/"] = told(b"", status=302, Location=location)
    evil.answers = {"/resolve/": evil.answers.pop("/resolve/"), **evil.answers}
    evil.is_refused()


@pytest.mark.parametrize(
    "row",
    [
        {"size": 10**30, "lfs": {"oid": SHA256, "size": 10**30}}, {"size": 10**13, "lfs": {"oid": SHA256, "size": 10**13}},
        {"size": len(LARGE) - 1, "lfs": {"oid": SHA256, "size": len(LARGE) - 1}}, {"lfs": {"oid": "A" * 64}},
        {"size": len(LARGE) + 1, "lfs": {"oid": SHA256, "size": len(LARGE) + 1}}, {"lfs": None}, {"lfs": None, "size": 10**12},
        {"path": "../w.bin"}, {"path": "a/.git/x"}, {"path": "\ud800"}, {"path": "x" * 5000}, {"path": 7}, {"path": "a\x00b"},
        {"oid": "z" * 40}, {"oid": None}, {"size": -1, "lfs": None}, {"size": True, "lfs": None}, {"lfs": [1]},
    ],
)  # fmt: skip
def test_no_lie_of_a_file_is_believed(evil: Evil, row: dict[str, Any]) -> None:
    by_api(evil, **row)
    evil.is_refused(WeighbridgeError)


@pytest.mark.parametrize(
    "row",
    [
        {"title": "\ud800"}, {"message": "\ud800"}, {"title": "t" * 10**6}, {"date": "0001-01-01T00:00:00+23:59"},
        {"date": "9999-12-31T23:59:59-23:59"}, {"date": "x"}, {"date": 7}, {"id": "x"}, {"authors": [7]}, {"authors": 7},
        {"authors": [{"user": "\ud800" * 3000}]}, {"authors": [{"user": "a <b>\n\0"}]}, {"title": ["t"]},
    ],
)  # fmt: skip
def test_no_commit_that_is_none_breaks_the_pull(evil: Evil, row: dict[str, Any]) -> None:
    by_api(evil)
    # So that even what can be made of it is no whole history.
    first = {"id": COMMIT, "title": "t", "message": "", "date": "2026-01-01T00:00:00Z", **row}
    evil.answers["/commits/"] = told([first])
    evil.answers["/resolve/"] = told(b"other bytes")
    evil.is_refused(WeighbridgeError)


@pytest.mark.parametrize(
    "give",
    [
        endless(b" "), endless(b"0000"), endless(b"[" * 64), told(b"[" * 10**5), told(b"9" * 10**5), told({"branches": {}}),
        told({"branches": [{"ref": "refs/heads/../x", "targetCommit": COMMIT}], "tags": []}), told({"branches": 7, "tags": 7}),
        told({"branches": [{"ref": "refs/pr/1", "targetCommit": COMMIT}], "tags": []}), told(b"\xff"), told([]), told(None),
        told({"branches": [{"ref": "refs/heads/\ud800", "targetCommit": COMMIT}], "tags": []}),
        told({"branches": [{"ref": "refs/heads/a", "targetCommit": "x"}], "tags": []}),
    ],
)  # fmt: skip
def test_no_list_of_refs_breaks_the_pull(evil: Evil, give: Give) -> None:
    evil.answers = {"/m/refs": give, **evil.answers}
    by_api(evil)
    evil.is_refused()


def test_no_list_goes_on_for_ever(evil: Evil) -> None:
    by_api(evil)

    def again(rows: Sequence[object]) -> Give:
        return told(rows, Link=f'<{evil.endpoint}/api/models/alice/m/tree/x?p=1>; rel="next"')

    folder = {"type": "directory", "path": "d", "oid": "b" * 40, "size": 0}
    for rows in ([], [folder] * 1000):
        evil.answers["/tree/"] = again(rows)
        mirror = pytest.MonkeyPatch()
        mirror.setattr("weighbridge.shell.hub.mirror_api.MAX_FILES", 20_000)
        with mirror.context():
            evil.is_refused(match="does not end|more than")
        mirror.undo()
        assert len(evil.asked) < 100
    for link in ('<http://evil.example/x>; rel="next"', '<http://[>; rel="next"', '<file:///etc/passwd>; rel="next"'):
        evil.answers["/tree/"] = told([folder], Link=link)
        evil.is_refused()


@pytest.mark.parametrize(
    ("source", "target", "is_led"),
    [
        ("8.8.8.8", "1.1.1.1", True), ("8.8.8.8", "10.0.0.1", False), ("8.8.8.8", "127.0.0.1", False),
        ("8.8.8.8", "169.254.169.254", False), ("8.8.8.8", "::ffff:127.0.0.1", False), ("8.8.8.8", "100.64.0.1", False),
        ("8.8.8.8", "0.0.0.0", False), ("2001:4860:4860::8888", "fd00::1", False), ("8.8.8.8", "224.0.0.1", False),
        ("10.0.0.1", "192.168.1.1", True), ("10.0.0.1", "8.8.8.8", True), ("10.0.0.1", "::1", False),
        ("127.0.0.1", "10.0.0.1", True), ("127.0.0.1", "169.254.169.254", False), ("10.0.0.1", "fe80::1%eth0", False),
    ],
)  # fmt: skip
def test_a_source_leads_no_further_in_than_it_lies(source: str, target: str, is_led: bool) -> None:
    bounds = Bounds()
    bounds.check(source, place="source")
    if is_led:
        bounds.check(target, place="target")
    else:
        with pytest.raises(SourceError, match="lies inside"):
            bounds.check(target, place="target")
        with pytest.raises(SourceError, match="lies inside"):
            bounds.look_up([target], place="target")
        bounds.look_up([target, source], place="target")
        bounds.check(source, place="source")
