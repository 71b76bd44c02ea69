"""Run every benchmark, one after another: `python -m benchmarks [NAME ...] [OPTION ...]`."""

import importlib
import sys

NAMES = (
    "startup",
    "read_hash_audit",
    "cast",
    "absence",
    "sign_verify",
    "licence_detect",
    "tokens",
    "chain",
    "check",
    "lineage",
    "file_security",
    "file_security_speed",
    "sequential",
    "overlap",
    "xet_formats",
    "hub_bytes",
    "hub_json",
    "hub_pull",
    "hub_gc",
)


def main() -> int:
    """Run the named benchmarks, or all; return the exit code."""
    options = next((n for n, word in enumerate(sys.argv) if n and word.startswith("-")), len(sys.argv))
    names = sys.argv[1:options] or NAMES
    del sys.argv[1:options]  # what is left are options of the benchmark's own
    for name in names:
        if name not in NAMES:
            sys.stderr.write(f"no benchmark {name!r}; there are {', '.join(NAMES)}\n")
            return 2
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
