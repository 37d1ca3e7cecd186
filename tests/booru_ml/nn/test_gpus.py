"""Which GPU a process takes, and that none of this touches torch where there is no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from booru_ml.errors import InvalidInput
from booru_ml.nn.routes import gpus

TAKE = """
import sys
from pathlib import Path
from booru_ml.nn.routes import gpus
print(gpus.share(int(sys.argv[1]), Path(sys.argv[2])), gpus.share(int(sys.argv[1]), Path(sys.argv[2])), flush=True)
sys.stdin.read()
"""


class Workers:
    """Processes that each take one of ``there`` GPUs and keep it until they end."""

    def __init__(self, there: int, folder: Path) -> None:
        self.there, self.folder = there, folder
        self.running: list[subprocess.Popen[str]] = []

    def start(self) -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(self.there), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        first, again = process.stdout.readline().split()
        assert first == again
        return int(first)

    def kill(self, number: int) -> None:
        process = self.running[number]
        process.kill()
        process.communicate()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    some = Workers(2, tmp_path / "gpus")
    yield some
    for number in range(len(some.running)):
        some.kill(number)


def test_workers_spread_over_the_gpus_and_a_new_one_replaces_a_dead_one(workers: Workers) -> None:
    assert [workers.start() for _ in range(4)] == [0, 1, 0, 1]
    workers.kill(1)
    assert workers.start() == 1


def test_without_a_writable_cache_a_gpu_is_still_chosen(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert gpus.share(3, tmp_path / "file" / "gpus") in range(3)


def test_the_cpu_serves_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "count", lambda: 0)
    assert gpus.resolve("auto") == "cpu"


def test_a_number_wins_over_the_spreading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "count", lambda: 3)
    assert gpus.resolve("cuda:2") == "cuda:2"


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_without_a_number_a_gpu_is_shared_out(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "count", lambda: 3)
    monkeypatch.setattr(gpus, "share", lambda there: there - 1)
    assert gpus.resolve(wanted) == "cuda:2"


@pytest.mark.parametrize(("there", "said"), [(0, "sees no CUDA device"), (1, r"sees 1 CUDA device\(s\)")])
def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, there: int, said: str) -> None:
    monkeypatch.setattr(gpus, "count", lambda: there)
    with pytest.raises(InvalidInput, match=said):
        gpus.resolve("cuda:1")


def test_without_a_driver_torch_is_not_even_imported() -> None:
    code = (
        "import sys; from booru_ml.nn.routes import gpus; gpus.NODES = ()\n"
        "assert gpus.resolve('auto') == 'cpu'\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
