"""The parent of several worker processes replaces those that may do better the next time."""

from __future__ import annotations

import sys
import textwrap

import pytest

from booru_ml.pipeline import memory, processes


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Children that end as the lines of a file say, one line each; the first line is left out by whoever reads it."""
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent("""
        import os, pathlib, signal, sys
        said = pathlib.Path(sys.argv[1])
        first, *rest = said.read_text().split()
        said.write_text("\\n".join(rest))
        os.kill(os.getpid(), signal.SIGKILL) if first == "killed" else sys.exit(int(first))
        """)
    )
    monkeypatch.setattr(processes, "LAUNCHER", (str(script),))
    monkeypatch.setattr(processes, "PAUSE_SECONDS", 0.01)
    said = tmp_path / "said.txt"

    def write(*ends: str) -> list[str]:
        said.write_text("\n".join(ends))
        return [str(said)]

    yield write
    assert said.read_text() == ""  # every one of them was started


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (["0"], 0),
        (["killed", "0"], 0),
        ([str(memory.EXIT_STATUS), "killed", str(memory.EXIT_STATUS), "0"], 0),
        (["3"], 3),
    ],
)
def test_killed_or_out_of_memory_is_replaced_and_another_end_is_the_end(command, ends, code):
    assert processes.keep_running(command(*ends), 1, forever=False) == code


def test_parent_without_memory_for_a_child_tries_again(command, monkeypatch):
    popen, asked = processes.subprocess.Popen, []

    def scarce(*args, **how):
        asked.append(args)
        if len(asked) in (2, 3):
            raise OSError(12, "Cannot allocate memory")
        return popen(*args, **how)

    monkeypatch.setattr(processes.subprocess, "Popen", scarce)
    assert processes.keep_running(command("killed", "0"), 1, forever=False) == 0
    assert len(asked) == 4
    assert asked[0][0][0] == sys.executable
