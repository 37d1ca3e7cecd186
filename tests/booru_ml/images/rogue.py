"""A decoder that does on command what a bad picture might make it do. Runs in place of ``child.main``.

A "picture" that starts with ``rogue:`` names the deed; everything else is decoded as always.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import pickle
import signal
import socket
import sys
import time
from typing import Any, BinaryIO

from PIL import Image

from booru_ml.pipeline.images import child, decode, wire
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.refusals import Refused

MAIN = (
    "import json, sys; arguments = json.loads(sys.argv[1]); sys.path[:] = arguments['path']; "
    "from tests.booru_ml.images.rogue import main; main(arguments)"
)
honest = decode.decode
answer = child._answer


def main(arguments: dict[str, Any]) -> None:
    decode.decode = misbehave
    child._answer = misanswer
    child.main(arguments)


def misbehave(file: BinaryIO, data: memoryview, limits: Limits) -> decode.Decoded:
    if bytes(data[:6]) != b"rogue:":
        return honest(file, data, limits)
    deed = bytes(data[6:]).decode()
    DEEDS[deed]()
    raise Refused("corrupt", f"{deed} had no effect")


def misanswer(file: BinaryIO, data: memoryview, out: mmap.mmap, limits: Limits) -> bytes:
    """Deeds that need the shared memory: lies instead of a header."""
    if bytes(data[:5]) != b"lies:":
        return answer(file, data, out, limits)
    lie = bytes(data[5:]).decode()
    if lie == "well behaved":
        return header(frame_count=os.getpid())
    if lie == "none, but stopped in between":
        os.kill(os.getpid(), signal.SIGSTOP)
        return header()
    if lie == "spoil":
        kept.append(bytearray(200 * 2**20))
        return header()
    return LIES[lie]


def header(**fields: Any) -> bytes:
    """A header that no check of ``wire.pack`` has seen."""
    good = {"format": "PNG", "width": 4, "height": 4, "frame_count": 1, "sizes": [[4, 4]], "conversions": []}
    body = json.dumps({**good, **fields}).encode()
    return wire._LENGTH.pack(len(body)) + body


kept: list[bytearray] = []
"""What earlier pictures left behind in the process that decoded them."""

LIES = {
    "nothing": b"",
    "garbage": b"\xff" * wire.HEADER_BYTES,
    "pickle": wire._LENGTH.pack(64) + pickle.dumps(Image.Image)[:60].ljust(64),
    "list": wire._LENGTH.pack(2) + b"[]",
    "deep": wire._LENGTH.pack(4000) + b"[" * 4000,
    "sizes too large": header(sizes=[[100_000, 100_000]]),
    "negative sizes": header(sizes=[[-4, 4]]),
    "four frames": header(sizes=[[4, 4]] * 4),
    "sizes of another type": header(sizes=[["4", True]]),
    "sizes that are no pairs": header(sizes=[1]),
    "unknown field": header(surprise=1),
    "unknown code": header(refused="whatever"),
    "markup in a note": header(conversions=["<script>"]),
    "unprintable detail": header(refused="corrupt", detail="\x1b[31m"),
    "huge width": header(width=10**30),
    "not a number": header(width=float("nan")),
}


def eat_memory() -> None:
    pieces = []
    while True:
        pieces.append(bytearray(2**24))


def spin() -> None:
    while True:
        pass


def ignore_signals_and_spin() -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    spin()


def tell(text: object) -> None:
    raise Refused("corrupt", str(text))


def open_files() -> None:
    for path in ("/etc/passwd", "/tmp/booru-rogue", "/proc/self/environ"):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT))
        except OSError as error:
            if "many open" not in str(error):
                tell(error)
        else:
            tell(f"opened {path}")
    try:
        socket.socket()
    except OSError:
        tell("nothing opened")


def write_files() -> None:
    written = []
    for descriptor in range(3, 64):
        try:
            written.append(os.write(descriptor, b"x" * 4096))
        except OSError:
            continue
    tell(f"written {sum(written)}")


def shrink_memory() -> None:
    failed = 0
    for descriptor in range(3, 64):
        try:
            os.ftruncate(descriptor, 16)
        except OSError:
            failed += 1
    tell("shrunk what it could")


DEEDS = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "exit as if well": lambda: os._exit(0),
    "hang": lambda: time.sleep(600),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "spin": spin,
    "spin on": ignore_signals_and_spin,
    "eat memory": eat_memory,
    "raise MemoryError": lambda: (_ for _ in ()).throw(MemoryError()),
    "raise SystemExit": lambda: sys.exit(0),
    "kill the warm process": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "open files": open_files,
    "write files": write_files,
    "shrink memory": shrink_memory,
    "modules": lambda: tell({"django", "torch", "celery", "onnxruntime", "faiss"} & set(sys.modules)),
    "environment": lambda: tell(sorted(os.environ)),
}
