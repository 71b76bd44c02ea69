"""`weighbridge hub gc` on a hub of 10,000 repositories with 1,000,000 files, a tenth of which was deleted.

`python -m benchmarks.hub_gc [--repositories N]` copies the embedded hub that `hub_json` keeps in `benchmarks/data/`
(it is made if it is not there) and leaves that one as it is; needs 5 GiB there and frees them. Its files are small
Git blobs, so in the copy each of them is turned into a large file, as collection sees one: a pointer, a `content` row,
a xorb of its own and the rows that say who holds both. That is the worst case, since a xorb may hold many files. Then
one repository in ten is deleted; only their xorbs lie in the store, as objects of a few bytes each, since only they
are deleted from it.

Collection runs once with that to collect and once with nothing, as it does every hour, beside Python's own `sqlite3`
fetching every row of the same tables once, as anything that collects by marking has to. With a tenth of the
repositories the same again. Targets: time at most 1.3 times linear in the files, and under 300 MiB.
"""

import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import DATA
from benchmarks.hub_json import FILES, OWNER, load

MANY = 10_000
SHARE = 10
"""One repository in so many is deleted."""

_CHUNKS = 16  # of a file of 1 MiB
_INDEX_BYTES = 40 * _CHUNKS
_TABLES = ("repository", "ref", "git_object", "content", "content_owner", "content_xorb", "xorb", "xorb_owner")
_FREE_BYTES = 6 * 1024**3

_SCAN = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
for table in sys.argv[2:]:
    for row in connection.execute(f"SELECT * FROM {table}"):
        pass
"""

_ENTER = f"""
UPDATE git_object SET lfs_sha256 = oid || substr(oid, 1, 24), lfs_size_bytes = 1000000
    WHERE kind = 'blob' AND lfs_sha256 IS NULL;
UPDATE git_object SET created_ms = 1;
CREATE TEMP TABLE held AS
    SELECT DISTINCT repository_id, lfs_sha256 AS sha256 FROM git_object WHERE lfs_sha256 IS NOT NULL ORDER BY 2, 1;
INSERT INTO content SELECT DISTINCT sha256, sha256, 1000000, zeroblob({_INDEX_BYTES}), 1, NULL FROM held;
INSERT INTO xorb SELECT sha256, 'xorbs/' || substr(sha256, 1, 2) || '/' || sha256 || '.0123456789abcdef', 1000000,
    1000000, {_CHUNKS}, zeroblob({_INDEX_BYTES}), 1, NULL FROM content;
INSERT INTO content_xorb SELECT sha256, sha256 FROM content;
INSERT INTO content_owner SELECT repository_id, sha256, 1 FROM held ORDER BY 1, 2;
INSERT INTO xorb_owner SELECT repository_id, sha256, 1 FROM held ORDER BY 1, 2;
DROP TABLE held;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a child took: seconds of wall time and of processors, and the largest resident size in MiB."""

    wall: float
    cpu: float
    peak_mib: float


def main() -> None:
    """Print one table and one JSON line; end with an error if a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repositories", type=int, default=MANY)
    many = parser.parse_args().repositories
    DATA.mkdir(exist_ok=True)
    if shutil.disk_usage(DATA).free < _FREE_BYTES:
        raise SystemExit(f"this benchmark needs {_FREE_BYTES // 1024**3} GiB of free disk in {DATA}")
    if many < SHARE * SHARE:
        raise SystemExit(f"--repositories must be {SHARE * SHARE} at least")
    kept = DATA / f"hub_{many}"
    load(kept, "", many)
    found: dict[int, dict[str, Used]] = {}
    for repositories in (many // 10, many):
        folder = DATA / "hub_gc"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _copy(kept, folder, repositories)
            found[repositories] = _measured(folder, _delete_share(folder, repositories))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    _tell(found)


def _copy(kept: Path, folder: Path, repositories: int) -> None:
    """Copy the hub that is kept, with so many of its repositories, and enter a large file for each of their files."""
    folder.mkdir()
    # All of it is in the file itself once its last connection was closed, as `load` does.
    subprocess.run(["cp", "--reflink=auto", kept / "hub.sqlite", folder], check=True)
    with closing(sqlite3.connect(folder / "hub.sqlite", isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;")
        (last,) = connection.execute(
            "SELECT id FROM repository ORDER BY id LIMIT 1 OFFSET ?", (repositories - 1,)
        ).fetchone()
        for table in ("git_object", "head_listing", "ref", "repository_tag"):
            connection.execute(f"DELETE FROM {table} WHERE repository_id > ?", (last,))
        connection.execute("DELETE FROM repository WHERE id > ?", (last,))
        connection.executescript(f"BEGIN; {_ENTER} COMMIT; PRAGMA journal_mode=WAL;")


def _delete_share(folder: Path, repositories: int) -> int:
    """Delete one repository in `SHARE`, and put the bytes of their files into the store; return how many these are."""
    from weighbridge.hub.accounts.caller import Caller
    from weighbridge.hub.repositories import lifecycle
    from weighbridge.shell.hub.wiring import open_hub

    hub = open_hub(folder)
    owner = Caller(user_id=1, name=OWNER, grant="write")
    with hub.database.write() as connection:
        for number in range(0, repositories, SHARE):
            lifecycle.remove(connection, owner, "model", f"{OWNER}/model-{number:05d}")
    hub.database.close()
    with closing(sqlite3.connect(folder / "hub.sqlite")) as connection:
        unheld = connection.execute("SELECT key FROM xorb WHERE hash NOT IN (SELECT hash FROM xorb_owner)").fetchall()
    for (key,) in unheld:
        path = folder / "bytes" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"gone soon")
    return len(unheld)


def _measured(folder: Path, unheld: int) -> dict[str, Used]:
    """Scan, collect, and collect again."""
    scan = (sys.executable, "-c", _SCAN, str(folder / "hub.sqlite"), *_TABLES)
    collect = (sys.executable, "-m", "weighbridge", "hub", "gc", "--folder", str(folder), "--grace", "0", "--json")
    _run(scan)  # the file is in the page cache from now on
    used = {"scan": _run(scan)[0]}
    used["collect"], said = _run(collect)
    told = json.loads(said)
    if (told["deleted_files"], told["deleted_xorbs"]) != (unheld, unheld) or any((folder / "bytes/xorbs").rglob("*.*")):
        raise SystemExit(f"{unheld} files were to be deleted: {said}")
    used["again"], said = _run(collect)
    if json.loads(said)["deleted_files"]:
        raise SystemExit(f"there was nothing to collect: {said}")
    return used


def _run(command: Sequence[str]) -> tuple[Used, str]:
    peak_kib = 0
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
        # The largest size that the kernel reports at the end is this process's own, where that was larger.
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            with suppress(OSError):
                found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
                peak_kib = max(peak_kib, int(found[1]) if found else 0)
            time.sleep(0.05)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        if process.returncode:
            raise SystemExit(f"{command[1:4]} ended with {process.returncode}")
        said.seek(0)
        cpu = ended[2].ru_utime + ended[2].ru_stime
        return Used(wall=wall, cpu=cpu, peak_mib=peak_kib / 1024), said.read()


def _tell(found: dict[int, dict[str, Used]]) -> None:
    names = {"scan": "sqlite3 reads the tables", "collect": "gc, a tenth deleted", "again": "gc, nothing to do"}
    print(f"{'repositories':>12}{'files':>12}  {'':26}{'wall, s':>9}{'CPU, s':>9}{'of scan':>9}{'MiB':>6}")
    missed = []
    few, many = found
    for repositories, runs in found.items():
        for what, used in runs.items():
            ratio = used.cpu / runs["scan"].cpu
            print(
                f"{repositories:>12,}{repositories * FILES:>12,}  {names[what]:26}{used.wall:>9.1f}{used.cpu:>9.1f}"
                f"{ratio:>9.1f}{used.peak_mib:>6.0f}"
            )
            if what != "scan" and used.peak_mib >= 300:
                missed.append(f"memory of {names[what]}")
    for what in ("collect", "again"):
        growth = found[many][what].cpu / found[few][what].cpu / (many / few)
        print(f"{names[what]}: {growth:.2f} of linear")
        if growth > 1.3:
            missed.append(f"{names[what]} is not linear")
    print(json.dumps({n: {w: [u.wall, u.cpu, u.peak_mib] for w, u in runs.items()} for n, runs in found.items()}))
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
