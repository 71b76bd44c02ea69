"""Source code beside weights: who would load it, and what it does. Nothing is run; Python is read as a syntax tree."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from weighbridge.checkpoint.document import parse_document
from weighbridge.errors import CheckpointError
from weighbridge.evidence.audit.files.code_encoded import encoded_texts
from weighbridge.evidence.audit.files.seen import Seen, hostile, suspect, unknown
from weighbridge.evidence.audit.files.template_kind import words
from weighbridge.evidence.audit.files.view import FolderView
from weighbridge.evidence.record import Severity

if TYPE_CHECKING:
    from weighbridge.evidence.audit.files.code_python import Deed

MAX_CONFIGURATION_BYTES = 4 << 20
LANGUAGES = {
    ".py": "Python", ".pyi": "Python", ".pyw": "Python", ".ipynb": "a notebook", ".sh": "shell", ".bash": "shell",
    ".zsh": "shell", ".fish": "shell", ".ps1": "PowerShell", ".psm1": "PowerShell", ".bat": "Windows batch",
    ".cmd": "Windows batch", ".vbs": "VBScript", ".js": "JavaScript", ".mjs": "JavaScript", ".cjs": "JavaScript",
    ".ts": "TypeScript", ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++", ".hpp": "C++", ".cu": "CUDA",
    ".cuh": "CUDA", ".rs": "Rust", ".go": "Go", ".java": "Java", ".kt": "Kotlin", ".scala": "Scala", ".r": "R",
    ".pl": "Perl", ".rb": "Ruby", ".php": "PHP", ".lua": "Lua", ".jl": "Julia", ".swift": "Swift", ".m": "MATLAB",
    ".sql": "SQL", ".pyx": "Cython", ".cmake": "CMake", ".gradle": "Gradle", ".nix": "Nix", ".metal": "Metal",
    ".hta": "an HTML application", ".wsf": "Windows script", ".applescript": "AppleScript", ".reg": "a registry patch",
    ".desktop": "a desktop entry", ".service": "a system service", ".pth": "a path file of Python", ".lnk": "a link",
    ".url": "a link",
}  # fmt: skip
_BUILDS = {
    **dict.fromkeys(words("dockerfile containerfile cog.yaml"), "builds a container"),
    **dict.fromkeys(
        words("docker-compose.yml docker-compose.yaml compose.yml compose.yaml procfile"), "starts services"
    ),
    **dict.fromkeys(words("jenkinsfile .gitlab-ci.yml azure-pipelines.yml .travis.yml"), "is run by a build server"),
    **dict.fromkeys(words("makefile justfile"), "is run by make or just"),
    ".pre-commit-config.yaml": "is run at each commit",
    "devcontainer.json": "is run when the folder is opened",
    ".envrc": "is run when the folder is entered",
    "crontab": "is run at set times",
}
_HOOKS = words("sitecustomize.py usercustomize.py conftest.py setup.py")
_LOADED = {"handler.py": "inference endpoints run it", "inference.py": "inference servers run it"}
_CONFIGURATIONS = words(
    """config.json tokenizer_config.json generation_config.json processor_config.json preprocessor_config.json
    adapter_config.json model_index.json"""
)
_COMMANDS = r"""(?xi)\b(?:curl|wget)\b[^|;&\n]{1,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|/dev/tcp/|\bnc\s+-[a-z]*e\b
    |base64\s+(?:-d|--decode)\b[^|\n]{0,200}\|\s*(?:ba|z|da)?sh\b|\brm\s+-rf\s+(?:/|~|\$HOME)(?:\s|\*|\Z)
    |\bbash\s+-i\b|\|\s*python3?\b|\bmkfifo\b|\bcrontab\s+-|>>?\s*~?/?\S{0,60}(?:\.bashrc|\.profile|authorized_keys)
    |\bpowershell(?:\.exe)?\b[^\n]{0,80}-(?:enc|e|nop|w)\b|\bIEX\b|DownloadString|Invoke-Expression|certutil\s+-"""
_MAX_CODE_CHARACTERS = 4 << 20


def language_of(name: str, head: bytes) -> str:
    """Return what language a file is in, by its name or first line; empty if it is none."""
    path = PurePosixPath(name)
    if found := LANGUAGES.get(path.suffix.lower()):
        return found
    if head.startswith(b"#!"):
        first = head.split(b"\n", 1)[0]
        return "Python" if b"python" in first else "shell" if re.search(rb"\b(?:ba|z|da|k)?sh\b", first) else "a script"
    base = path.name.lower()
    return "a build file" if base in _BUILDS or base.startswith("dockerfile") or _is_workflow(name) else ""


def inspect_code(name: str, text: str, language: str, folder: FolderView) -> Iterator[Seen]:
    """Yield who would run a source file, and what it does.

    Args:
        name: its path.
        text: its content.
        language: as `language_of` returns it.
        folder: the files beside it; configurations there may name it.
    """
    yield _role(name, language, folder)
    if len(text) > _MAX_CODE_CHARACTERS:
        yield unknown("code-too-long", f"code of {len(text):,} characters was not looked into")
        return
    if language == "Python":
        yield from _python(text)
    elif language == "a notebook":
        yield from _notebook(name, text)
    elif language == "a path file of Python":
        yield from _path_file(text)
    elif match := re.search(_COMMANDS, text):
        line = text.count("\n", 0, match.start()) + 1
        yield hostile("hostile-command", "it fetches and runs something, opens a shell or deletes", f"line {line}")
    for blob in encoded_texts(text):
        make = hostile if blob.program else suspect
        yield make("encoded-text", f"it holds {blob.what}", f"line {text.count(chr(10), 0, blob.start) + 1}")


def _role(name: str, language: str, folder: FolderView) -> Seen:
    path = PurePosixPath(name)
    base = path.name.lower()
    if path.parent.name == "custom_generate":
        return suspect("loadable-code", "it is code that transformers runs with `trust_remote_code`", "", Severity.HIGH)
    if ".git" in path.parts and "hooks" in path.parts:
        return suspect("git-hook", "it is a hook that git runs", "", Severity.HIGH)
    if base in _LOADED and len(path.parts) <= 2:
        return suspect("loadable-code", f"it is code, and {_LOADED[base]}", "", Severity.HIGH)
    if base in _HOOKS:
        return suspect("loadable-code", "it is code that Python tools run by its name", "", Severity.HIGH)
    if language == "a path file of Python":
        return unknown("code", "it is a file that Python would read at each start if it lay among its packages")
    if language == "Python" and (by := _named_by(path, folder)):
        message = f"it is code that {by} tells loaders to run"
        return suspect("loadable-code", message, "", Severity.HIGH)
    if language == "a build file":
        what = _BUILDS.get(base, "builds a container" if base.startswith("dockerfile") else "is run by a build server")
        return unknown("build-file", f"it {what}")
    return unknown("code", f"it is source code ({language}), and nothing says what it is for")


def _is_workflow(name: str) -> bool:
    return ".github/workflows/" in f"/{name}" or ".circleci/" in f"/{name}"


def _named_by(path: PurePosixPath, folder: FolderView) -> str:
    """Return the configuration beside a module that names it in an `auto_map`; empty if there is none."""
    beside = path.parent
    for other in sorted(_CONFIGURATIONS):
        name = str(beside / other) if str(beside) != "." else other
        if name not in folder.files:
            continue
        with folder.open(name) as view:
            text = view.text(MAX_CONFIGURATION_BYTES) or ""
        if "auto_map" in text and re.search(rf"[\"\-.]{re.escape(path.stem)}\.", text):
            return name
    return ""


def _python(text: str) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.code_python import GRAVE, python_deeds

    deeds = python_deeds(text)
    if deeds is None:
        yield unknown("code-unparsable", "it cannot be read as Python")
        return
    grave = [deed for deed in deeds if deed.at_import and deed.what in GRAVE]
    unpickles = [deed for deed in deeds if deed.at_import and deed.what == "unpickles"]
    if grave or unpickles:
        worst = (grave or unpickles)[0]
        message = f"as soon as it is imported, it {worst.what} ({worst.name})"
        yield hostile("code-at-import", message, f"line {worst.line}")
    if deeds:
        yield suspect("code-deeds", f"it {_told(deeds)}", f"line {deeds[0].line}")


def _told(deeds: "tuple[Deed, ...]") -> str:
    by_kind: dict[str, list[Deed]] = {}
    for deed in deeds:
        by_kind.setdefault(deed.what, []).append(deed)
    parts = [
        f"{what} ({', '.join(dict.fromkeys(deed.name for deed in items[:3]))})"
        for what, items in sorted(by_kind.items())
    ]
    return "; ".join(parts[:8])


def _notebook(name: str, text: str) -> Iterator[Seen]:
    try:
        document = parse_document(text.encode("utf-8", "replace"), place=name, max_depth=64, max_values=1_000_000)
    except CheckpointError as error:
        yield unknown("unparsable", f"the notebook cannot be read: {error.message}")
        return
    cells = document.get("cells") if isinstance(document, dict) else None
    sources = [_source(cell) for cell in cells if _is_code(cell)] if isinstance(cells, list) else []
    lines = [line for source in sources for line in source.splitlines()]
    shell = [line for line in lines if line.lstrip().startswith(("!", "%%bash", "%%sh", "%%script", "%system", "%sx"))]
    if shell:
        yield suspect("notebook-shell", f"its cells run commands of a shell ({len(shell)} lines)")
    if any(re.search(_COMMANDS, line) for line in shell):
        yield hostile("hostile-command", "a cell fetches and runs something, opens a shell or deletes")
    yield from _python("\n".join(line for line in lines if not line.lstrip().startswith(("!", "%", "?"))))
    if "application/javascript" in text or re.search(r"<script\b", text, re.IGNORECASE):
        yield suspect("active-content", "its outputs hold scripts that a viewer may run")


def _is_code(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") == "code"


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(str(item) for item in source) if isinstance(source, list) else str(source)


def _path_file(text: str) -> Iterator[Seen]:
    if any(re.match(r"import[ \t]", line) for line in text.splitlines()):
        yield hostile("code-at-import", "it holds code that Python runs at each start")


def inspect_requirements(text: str) -> Iterator[Seen]:
    """Yield what a list of Python packages makes an installer do beside fetching packages from the usual index."""
    for number, line in enumerate(text.splitlines()[:10_000], start=1):
        entry = line.split("#", 1)[0].strip()
        where = f"line {number}"
        if re.match(r"(?:-i|--index-url|--extra-index-url|--trusted-host|-f|--find-links)\b", entry):
            yield suspect("foreign-index", "it makes an installer fetch packages from another place", where)
        elif re.search(r"(?:git\+|hg\+|svn\+|bzr\+|https?://|ftp://|file:)", entry):
            yield suspect("foreign-package", "it makes an installer fetch a package by its address", where)
        elif entry.startswith(("-e ", "--editable", "./", "../", "/")):
            yield suspect("foreign-package", "it makes an installer run a setup script of this folder", where)


def inspect_git(name: str) -> Iterator[Seen]:
    """Yield that a history of git came along; once for a folder, at its `HEAD`."""
    if PurePosixPath(name).name == "HEAD" and PurePosixPath(name).parent.name == ".git":
        message = "the history of a git repository came along: everything that was ever in it can be read"
        yield suspect("git-history", message)
