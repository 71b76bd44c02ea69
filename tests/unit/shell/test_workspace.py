"""One process at a time holds a work folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.errors import WorkspaceError
from weighbridge.shell.workspace import Workspace

HOLD = """
import sys
from pathlib import Path
from weighbridge.shell.workspace import Workspace
with Workspace(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError, match=f"process {child.pid}"), Workspace(tmp_path).held():
            pass
        child.kill()
    with Workspace(tmp_path).held():
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkspaceError, match="file"), Workspace(tmp_path / "file" / "work").held():
        pass
