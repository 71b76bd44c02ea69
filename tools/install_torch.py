"""Install the CPU build of torch into the running interpreter's environment.

The default index serves a CUDA build of several gigabytes on Linux. This takes, in this order, a CPU wheel that pip is
configured to find (a local folder, a company mirror), or the one on PyTorch's own index. Everything else that torch
needs is pinned in requirements/all.txt, hence --no-deps.
"""

import importlib.util
import subprocess
import sys

VERSION = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> int:
    """Return pip's exit code; 0 at once where torch is already there."""
    if importlib.util.find_spec("torch"):
        return 0
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    local = subprocess.run([*pip, f"torch=={VERSION}+cpu"], capture_output=True, text=True, check=False)
    if local.returncode == 0:
        return 0
    remote = subprocess.run([*pip, "--index-url", CPU_INDEX, f"torch=={VERSION}"], check=False)
    if remote.returncode:
        sys.stderr.write(
            f"{local.stderr}\ntorch {VERSION} (CPU) came neither from the configured indexes nor from {CPU_INDEX}.\n"
            "Next step: install any torch >= 2.6 into .venv by hand and run `make setup` again.\n"
        )
    return remote.returncode


if __name__ == "__main__":
    sys.exit(main())
