"""What reads a kind of file is imported when the first file of that kind turns up, and not before."""

import json
import subprocess
import sys
from pathlib import Path

from weighbridge.checkpoint.safetensors import build_header
from weighbridge.evidence.audit.files.kind import NO_OPCODES
from weighbridge.evidence.audit.files.pickle_opcode import NAMES

_AUDIT = """
import sys
from pathlib import Path
from weighbridge.evidence.audit.files.probe import audit_folder

audit = audit_folder(Path(sys.argv[1]), "")
print(" ".join(sorted(str(kind) for kind in audit.coverage["kinds"])))
print(" ".join(name.rpartition(".")[2] for name in sys.modules if name.startswith("weighbridge.evidence.audit.files.")))
"""
_OTHER_KINDS = {
    "archive", "array", "code_python", "keras_graph", "onnx_file", "pickle_file", "pickle_machine", "template",
    "template_render", "tokenizer", "tokenizer_sentencepiece", "torch_archive", "zip_file", "zip_layout",
}  # fmt: skip


def _imported(folder: Path) -> tuple[set[str], set[str]]:
    """Return the kinds that an audit in a fresh process found, and the modules of the audit that it imported."""
    done = subprocess.run([sys.executable, "-c", _AUDIT, folder], capture_output=True, text=True, check=True)
    kinds, modules = done.stdout.splitlines()
    return set(kinds.split()), set(modules.split())


def _safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(build_header([("w", "F32", (4,))], {"format": "pt"}) + bytes(16))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 4}))


def test_weights_and_their_configuration_import_no_reader_of_other_kinds(tmp_path: Path) -> None:
    _safetensors(tmp_path)
    kinds, modules = _imported(tmp_path)
    assert kinds == {"safetensors", "text"}
    assert "weights_search" in modules
    assert not modules & _OTHER_KINDS


def test_the_first_pickle_imports_its_reader(tmp_path: Path) -> None:
    _safetensors(tmp_path)
    (tmp_path / "data.pkl").write_bytes(b"\x80\x04]\x94.")
    kinds, modules = _imported(tmp_path)
    assert "pickle" in kinds
    assert modules & _OTHER_KINDS == {"pickle_file", "pickle_machine"}


def test_no_pickle_begins_with_a_byte_that_is_taken_for_text_at_once() -> None:
    assert not NO_OPCODES & NAMES.keys()
    assert 0x80 not in NO_OPCODES
