"""``booru_demo`` as newcomers run it: a process of its own, with its own Redis, worker, web server and database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.demo.artist import draw
from deploy.demo.launch.processes import ROOT, free_port

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two characters that nobody could confuse, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, who in (("Anna", 1), ("Bea", 3)):
        (folder / name).mkdir()
        for number in range(6):
            drawing = draw(character=who, pose=0, artist=1, size=(240, 320), seed=number)
            drawing.image.save(folder / name / f"{number}.webp")
    (folder / "Bea" / "9 <b>.png").write_bytes(b"no picture at all")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo-home")


class Demo:
    def __init__(self, home: Path, *options: object) -> None:
        env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BOORU_TEST_HOME")}
        env |= {
            "DJANGO_SETTINGS_MODULE": "deploy.demo.settings",
            "BOORU_HOME": str(home),
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "PYTHONUNBUFFERED": "1",
        }
        self.port = free_port()
        self.output = (home / "output.txt").open("w+")
        command = [sys.executable, "manage.py", "booru_demo", "--characters", "2", "--support", "3", "--others", "8"]
        ports = [] if "--port" in options else ["--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *ports, *map(str, options)], cwd=ROOT, env=env, stdout=self.output, stderr=subprocess.STDOUT
        )
        self.seen: set[psutil.Process] = set()

    @property
    def text(self) -> str:
        return Path(self.output.name).read_text()

    def until(self, done: Callable[[], bool], seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.look()
            assert time.monotonic() < deadline, self.text
            time.sleep(0.1)

    def look(self) -> None:
        try:
            self.seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return

    def serve(self) -> None:
        self.until(lambda: "Press Ctrl-C" in self.text or self.process.poll() is not None)
        assert self.process.poll() is None, self.text
        self.look()

    def end(self, seconds: float = 60) -> int:
        self.until(lambda: self.process.poll() is not None, seconds)
        return int(self.process.returncode)

    def orphans(self) -> list[str]:
        """Processes of the demo that outlive it by more than some seconds."""
        _, alive = psutil.wait_procs(self.seen, timeout=20)
        return [" ".join(process.cmdline()) for process in alive if process.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.output.close()


@pytest.fixture
def demo(home: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*options: object, at: Path = home) -> Demo:
        started.append(Demo(at, *options))
        return started[-1]

    yield start
    for item in started:
        item.close()


def test_it_shows_its_work_and_stops_by_itself(demo: Callable[..., Demo], folder: Path) -> None:
    run = demo("--exit", "--pictures", folder)
    assert run.end(240) == 0, run.text
    assert run.orphans() == []
    for part in ("started one at", "anna", "bea", "refused", "All as it should be", "password", "9 <b>.png"):
        assert part in run.text
    assert "13 " in run.text


def test_a_second_run_uses_what_is_there(demo: Callable[..., Demo], folder: Path) -> None:
    run = demo("--pictures", folder)
    run.serve()
    assert "are on the board already" in run.text
    assert urllib.request.urlopen(f"http://127.0.0.1:{run.port}/booru/healthz").status == 200
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0, run.text
    assert run.orphans() == []


def test_a_port_in_use_and_a_second_demo_are_told(demo: Callable[..., Demo], folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        first = demo("--pictures", folder, "--port", port)
        first.serve()
        assert f"port {port} is in use" in first.text
        second = demo("--pictures", folder)
        assert second.end() == 1
        assert "Another demo is running" in second.text
        first.process.send_signal(signal.SIGHUP)
        assert first.end() == 0, first.text
        assert first.orphans() == []


def test_a_child_that_dies_is_named_with_its_log(demo: Callable[..., Demo], folder: Path) -> None:
    run = demo("--pictures", folder)
    run.serve()
    worker = next(item for item in psutil.Process(run.process.pid).children() if "celery" in " ".join(item.cmdline()))
    worker.kill()
    assert run.end() == 1
    assert "The worker was ended by SIGKILL" in run.text
    assert "worker.log" in run.text
    assert run.orphans() == []


def test_nothing_survives_a_demo_that_is_killed_outright(demo: Callable[..., Demo], folder: Path) -> None:
    run = demo("--pictures", folder)
    run.serve()
    run.process.kill()
    run.process.wait()
    assert run.orphans() == []


def test_a_folder_that_cannot_be_used_is_explained_before_anything_starts(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    run = demo("--pictures", tmp_path / "none", at=tmp_path)
    assert run.end() == 1
    assert "There is no folder" in run.text
    assert "Traceback" not in run.text
