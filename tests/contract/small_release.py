"""A release that takes a second: a small made-up model with things planted in it, and no weighing."""

import json
from pathlib import Path

import numpy as np

from weighbridge.checkpoint.write import SafetensorsWriter

SECRETS = (
    b"reward_head",
    b"optimizer.pt",
    b"wb-3k9xq2vd7h",
    b"/home/mira.okafor",
    b"run-of-the-night-77",
    b"night shift",
)

PLAN = """\
model: acme/osprey
source: internal
license: Apache-2.0
title: Osprey
hold_back:
  - {tensors: "reward_head.*", as: reward head}
  - {files: "optimizer.pt", as: optimizer state}
  - {files: "empty.bin", as: nothing}
  - {files: "sample.jsonl", as: training data sample}
  - {metadata: true}
versions:
  osprey: [{cast: bf16}]
  osprey-half: [{cast: f16}]
gates:
  open:
    - {no_findings: medium, audits: [held-back, metadata-leak, soundness]}
hub: hub
"""


def write_model(
    folder: Path, *, extra: tuple[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"], ...] = ()
) -> None:
    """Write a checkpoint whose tensors are float32 noise, with planted secrets."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(7)
    tensors = [
        ("model.embed_tokens.weight", noise.standard_normal((96, 32), dtype=np.float32)),
        ("model.norm.weight", noise.standard_normal((32,), dtype=np.float32)),
        ("reward_head.weight", noise.standard_normal((64, 32), dtype=np.float32)),
        *extra,
    ]
    declared = [(name, "F32", value.shape) for name, value in tensors]
    with SafetensorsWriter(
        folder / "model.safetensors", declared, {"format": "pt", "run": "run-of-the-night-77"}
    ) as writer:
        for name, value in tensors:
            writer.write(name, [value.tobytes()])
        writer.close()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "vocab_size": 96}
    private = {"_name_or_path": "/home/mira.okafor/checkpoints/x", "wandb_run_id": "wb-3k9xq2vd7h"}
    (folder / "config.json").write_text(json.dumps({**config, **private}))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    (folder / "optimizer.pt").write_bytes(noise.bytes(9000))
    (folder / "empty.bin").write_bytes(b"")
    (folder / "sample.jsonl").write_text('{"text": "the night shift swapped the load cells"}\n')


def write_release(root: Path) -> Path:
    """Write model and plan below `root`; return the plan."""
    write_model(root / "internal")
    plan = root / "release.yaml"
    plan.write_text(PLAN)
    return plan
