"""What this machine is, told without loading any runtime: processor, versions, where a user's cache lives."""

from __future__ import annotations

import ctypes
import os
import platform
import tempfile
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("onnxruntime", "openvino", "torch", "timm", "numpy")


@cache
def processor() -> str:
    """Model and the instruction sets that decide which arithmetic is fast; a virtual machine may hide some."""
    said = _cpuinfo()
    wide = sorted(flag for flag in said.get("flags", "").split() if flag.startswith(("avx", "amx", "fma")))
    return " ".join([platform.machine(), said.get("model name", platform.processor()), *wide]).strip()


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them it is slower than float32."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_cpuinfo().get("flags", "").split())


def versions() -> dict[str, str]:
    """Of the packages that do the arithmetic, as far as they are installed."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def give_back_memory() -> None:
    """What was freed goes back to the kernel; glibc would keep it for the next time."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def user_cache() -> Path:
    """``booru-ml`` in the user's cache folder (XDG base directories); a temporary one for users without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "booru-ml"
    try:
        return Path.home() / ".cache" / "booru-ml"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"booru-ml-{os.getuid()}"


@cache
def _cpuinfo() -> dict[str, str]:
    """Of the first processor; empty where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
