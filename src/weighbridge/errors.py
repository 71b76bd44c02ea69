"""Every error that Weighbridge raises on purpose.

::

    WeighbridgeError
    ├── InputError                     what was given cannot be used (exit code 2)
    │   ├── CheckpointError            a checkpoint folder or file is unsound or unreadable
    │   │   ├── HeaderError            a safetensors or GGUF header is malformed or lies
    │   │   ├── UnsafePathError        a path leaves its folder
    │   │   ├── UnsupportedFormatError a format that is never opened here (pickles), or not known
    │   │   └── ChangedError           a file changed while it was being read
    │   ├── PlanError                  the release plan is wrong; names file, line and column
    │   ├── RecipeError                a recipe cannot be applied to this checkpoint
    │   ├── ProbeError                 an installed probe is broken, or two go by one name
    │   └── MissingExtraError          a verb needs an optional part that is not installed
    ├── RefusedError                   a gate said no (exit code 1)
    ├── VerificationError              bytes or signature are not what was promised (exit code 1)
    │   └── DigestMismatchError
    ├── EngineError                    an engine (llama.cpp, transformers) failed
    ├── WorkspaceError                 the work folder cannot be used: locked, full, not writable
    └── HubError                       a hub cannot be used: its folder, its address, its database or its store

Each part of the hub server refines `InputError` for what a client sent and `HubError` for what the hub itself lacks, in
a module of its own (`hub/xet/errors.py`, `hub/store/port.py`, `hub/database/connect.py`).

What an audit finds or a gate decides is a result (`Finding`, `Verdict`), not an error.
"""


class WeighbridgeError(Exception):
    """Base of the tree. `place` names where; `hint` says what to do next."""

    hint = ""

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        if hint:
            self.hint = hint

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class InputError(WeighbridgeError):
    """What was given cannot be used."""


class CheckpointError(InputError):
    """A checkpoint folder or file is unsound or cannot be read."""

    hint = "Run `weighbridge show` on the folder to see everything that is wrong with it."


class HeaderError(CheckpointError):
    """A safetensors or GGUF header is malformed, or states something that its file contradicts."""

    hint = "The file is damaged or hostile. Obtain it again from its publisher; do not load it with other tools."


class UnsafePathError(CheckpointError):
    """A path is absolute, climbs out with `..`, or leads out of its folder through a symbolic link."""

    hint = "Put the real file inside the folder."


class UnsupportedFormatError(CheckpointError):
    """A format that is never opened here, or is not known."""


class ChangedError(CheckpointError):
    """A file changed while it was being read."""

    hint = "Stop whatever writes to the folder and run the command again."


class PlanError(InputError):
    """The release plan is wrong. `place` is `file:line:column`."""

    hint = "`weighbridge init CHECKPOINT` writes a commented plan to compare with."


class RecipeError(InputError):
    """A recipe cannot be applied to this checkpoint."""


class ProbeError(InputError):
    """An installed probe is broken, or two go by one name."""


class MissingExtraError(InputError):
    """A verb needs an optional part that is not installed."""

    def __init__(self, module: str, *, extra: str) -> None:
        super().__init__(
            f"this needs the package {module!r}, which is not installed",
            hint=f"pip install 'weighbridge[{extra}]'",
        )


class RefusedError(WeighbridgeError):
    """A gate said no."""


class VerificationError(WeighbridgeError):
    """Bytes or a signature are not what was promised."""

    hint = "Do not use these files. Download them again; if they still differ, tell the publisher."


class DigestMismatchError(VerificationError):
    """A file's bytes differ from what the manifest or signature states."""


class EngineError(WeighbridgeError):
    """An engine (llama.cpp, transformers) failed on a model."""


class WorkspaceError(WeighbridgeError):
    """The work folder cannot be used: locked by another run, full, or not writable."""


class HubError(WeighbridgeError):
    """The hub folder cannot be used."""
