"""Evidence that was made once and need not be made again: JSON records by what they depend on."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.write import write_bytes


class KeptRecords:
    """JSON documents below one folder, each named by the digest of what it depends on."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get_or_make(self, depends_on: Any, make: Callable[[], Any]) -> Any:
        """Return the document for `depends_on` (any JSON value); call `make` if there is none yet."""
        text = json.dumps(depends_on, sort_keys=True, ensure_ascii=False)
        path = self._root / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
        try:
            return json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            made = make()
            write_bytes(path, json.dumps(made, ensure_ascii=False).encode())
            return made
