"""Whatever a picture does to its decoder, the parent answers with a refusal and goes on to the next picture."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from booru_ml.errors import PictureRefused, Unavailable
from booru_ml.pipeline.images import DecoderPool, Limits, child, zygote
from tests.booru_ml.images import rogue
from tests.booru_ml.images.pictures import encoded

GOOD = encoded(Image.new("RGB", (8, 8), "red"), "PNG")
LIMITS = Limits(canvas_side=64, memory=256 * 2**20, cpu_seconds=1, timeout_seconds=60, max_bytes=2**20)


@pytest.fixture(scope="module")
def rogues() -> Iterator[DecoderPool]:
    with pytest.MonkeyPatch.context() as patch, DecoderPool(workers=1, limits=LIMITS) as pool:
        patch.setattr(zygote, "MAIN", rogue.MAIN)
        yield pool


def refusal(pool: DecoderPool, data: bytes) -> PictureRefused:
    with pytest.raises(PictureRefused) as refused:
        pool.submit(io.BytesIO(data)).result(timeout=60)
    assert refused.value.message
    return refused.value


def works(pool: DecoderPool) -> bool:
    return pool.submit(io.BytesIO(GOOD)).result(timeout=60).width == 8


def children() -> set[int]:
    """Processes, zombies too, that this one started and has not waited for."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("segfault", "crashed"),
        ("abort", "crashed"),
        ("killed", "crashed"),
        ("exit", "crashed"),
        ("exit as if well", "crashed"),
        ("raise SystemExit", "crashed"),
        ("kill the warm process", "crashed"),
        ("eat memory", "resources"),
        ("raise MemoryError", "resources"),
        ("spin", "resources"),
        ("spin on", "crashed"),
    ],
)
def test_a_deadly_picture_is_refused_and_the_next_one_decoded(deed: str, code: str, rogues: DecoderPool) -> None:
    assert refusal(rogues, b"rogue:" + deed.encode()).code == code
    assert works(rogues)


def test_a_picture_that_makes_the_decoder_wait_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote, "MAIN", rogue.MAIN)
    others = children()
    with DecoderPool(workers=1, limits=replace(LIMITS, timeout_seconds=2)) as pool:
        assert works(pool)
        started = time.monotonic()
        assert refusal(pool, b"rogue:hang").code == "timeout"
        assert 2 <= time.monotonic() - started < 10
        assert children() == others
        assert works(pool)


@pytest.mark.parametrize("lie", rogue.LIES)
def test_a_lying_decoder_is_not_believed(lie: str, rogues: DecoderPool) -> None:
    assert refusal(rogues, b"lies:" + lie.encode()).code == "crashed"
    assert works(rogues)


def test_a_decoder_that_somebody_stops_goes_on(rogues: DecoderPool) -> None:
    assert rogues.submit(io.BytesIO(b"lies:none, but stopped in between")).result(timeout=60).width == 4
    assert refusal(rogues, b"rogue:stop").extra["detail"] == "stop had no effect"


def process_of_next_picture(pool: DecoderPool) -> int:
    return pool.submit(io.BytesIO(b"lies:well behaved")).result(timeout=60).frame_count


def test_a_process_decodes_a_few_pictures_and_is_replaced(rogues: DecoderPool) -> None:
    processes = [process_of_next_picture(rogues) for _ in range(3 * child.PICTURES)]
    assert 3 <= len(set(processes)) <= 4
    assert max(processes.count(pid) for pid in processes) == child.PICTURES


@pytest.mark.parametrize("bad", [b"not a picture", b"rogue:segfault", b"lies:garbage"])
def test_no_picture_is_decoded_by_a_process_that_refused_one(bad: bytes, rogues: DecoderPool) -> None:
    before = process_of_next_picture(rogues)
    refusal(rogues, bad)
    assert process_of_next_picture(rogues) != before


def test_a_picture_is_not_refused_for_what_earlier_ones_left_behind(rogues: DecoderPool) -> None:
    """The spoilt process has too little memory left for this one; a new one has enough."""
    assert refusal(rogues, b"not a picture").code == "format"
    assert rogues.submit(io.BytesIO(b"lies:spoil")).result(timeout=60).width == 4
    large = encoded(Image.new("RGB", (5000, 5000)), "PNG")
    assert rogues.submit(io.BytesIO(large)).result(timeout=60).width == 5000


def test_an_idle_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        zygote,
        "MAIN",
        zygote.MAIN.replace("main(arg", "import booru_ml.pipeline.images.child as c; c.IDLE_SECONDS = 0.2; main(arg"),
    )
    others = children()
    with DecoderPool(workers=1, limits=LIMITS) as pool:
        assert works(pool)
        (warm,) = children() - others
        tasks = Path(f"/proc/{warm}/task/{warm}/children")
        deadline = time.monotonic() + 10
        while tasks.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not tasks.read_text()
        assert works(pool)


def test_a_confined_decoder_opens_no_file_and_no_socket(rogues: DecoderPool) -> None:
    assert refusal(rogues, b"rogue:open files").extra["detail"] == "nothing opened"


def test_a_confined_decoder_writes_no_file(rogues: DecoderPool) -> None:
    assert refusal(rogues, b"rogue:write files").extra["detail"] == "written 0"


def test_shared_memory_cannot_be_pulled_from_under_the_parent(rogues: DecoderPool) -> None:
    assert refusal(rogues, b"rogue:shrink memory").code in ("corrupt", "crashed")
    assert works(rogues)


def test_a_decoder_carries_neither_the_framework_nor_the_parents_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zygote, "MAIN", rogue.MAIN)
    monkeypatch.setenv("SECRET_KEY", "secret")
    with DecoderPool(workers=1, limits=LIMITS) as pool:
        assert refusal(pool, b"rogue:modules").extra["detail"] == "set()"
        assert "SECRET" not in refusal(pool, b"rogue:environment").extra["detail"]


def test_a_picture_that_needs_too_much_memory_is_refused() -> None:
    data = encoded(Image.new("RGB", (6000, 6000)), "PNG")
    with DecoderPool(workers=1, limits=Limits(memory=64 * 2**20)) as pool:
        assert refusal(pool, data).code == "resources"
        assert works(pool)


def test_a_service_that_runs_under_limits_of_its_own_keeps_them() -> None:
    program = (
        "import io, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**30,) * 2); "
        "resource.setrlimit(resource.RLIMIT_CPU, (15, 15)); from booru_ml.pipeline.images import DecoderPool; "
        f"print(DecoderPool(workers=1).submit(io.BytesIO({GOOD!r})).result().width)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("8\n", "")


def test_a_picture_that_needs_too_much_computing_is_refused() -> None:
    """A progressive JPEG may hold any number of passes over the same pixels."""
    data = encoded(Image.new("L", (2000, 2000), 99), "JPEG", progressive=True)
    last_pass = data.rindex(b"\xff\xda")
    endless = data[:last_pass] + data[last_pass:-2] * 40_000 + data[-2:]  # a minute's work, in half a megabyte
    with DecoderPool(workers=1, limits=Limits(cpu_seconds=1)) as pool:
        assert refusal(pool, endless).code == "resources"
        assert works(pool)


def test_an_empty_stream_is_refused(rogues: DecoderPool) -> None:
    assert refusal(rogues, b"").code == "empty"


def test_no_more_is_read_than_allowed(rogues: DecoderPool) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            self.given += size
            return b"\xff" * size

    stream = Endless()
    with pytest.raises(PictureRefused) as refused:
        rogues.submit(stream).result(timeout=60)  # type: ignore[arg-type]
    assert refused.value.code == "too-many-bytes"
    assert "1 MiB" in refused.value.message
    assert stream.given == LIMITS.max_bytes + 1


def test_what_was_too_large_is_not_kept_in_memory() -> None:
    limits = Limits(max_bytes=32 << 20)
    with DecoderPool(workers=1, limits=limits) as pool:
        assert refusal(pool, bytes(limits.max_bytes + 1)).code == "too-many-bytes"
        (desk,) = pool._desks
        assert os.fstat(desk.source).st_blocks == 0


@pytest.mark.parametrize("error", [OSError("the disk is gone"), TimeoutError("slow"), RuntimeError("storage bug")])
def test_a_fault_of_the_storage_is_not_a_fault_of_the_picture(error: Exception, rogues: DecoderPool) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise error

    with pytest.raises(type(error)) as raised:
        rogues.submit(Broken()).result(timeout=60)  # type: ignore[arg-type]
    assert raised.value is error
    assert works(rogues)


def test_a_decoder_that_cannot_start_is_not_a_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote, "MAIN", "raise SystemExit(1)")
    others = children()
    with DecoderPool(workers=1) as pool, pytest.raises(Unavailable):
        pool.submit(io.BytesIO(GOOD)).result(timeout=60)
    assert children() == others


def test_a_warm_process_that_was_killed_meanwhile_is_replaced() -> None:
    others = children()
    with DecoderPool(workers=1, limits=LIMITS) as pool:
        assert works(pool)
        (warm,) = children() - others
        os.kill(warm, signal.SIGKILL)
        assert works(pool)
        assert warm not in children()


def test_two_hundred_pictures_leave_no_descriptor_no_process_and_no_zombie(rogues: DecoderPool) -> None:
    deeds = [b"rogue:segfault", b"rogue:exit", b"lies:garbage", b"not a picture", b"", GOOD[:40]]
    assert works(rogues)
    before, warm = set(Path("/proc/self/fd").iterdir()), children()
    futures = [
        rogues.submit(io.BytesIO(GOOD if number % 4 else deeds[number // 4 % len(deeds)])) for number in range(200)
    ]
    refused = sum(isinstance(future.exception(timeout=60), PictureRefused) for future in futures)
    assert refused == 50
    assert set(Path("/proc/self/fd").iterdir()) <= before  # what other tests left open may be closed meanwhile
    assert children() == warm


def test_closing_ends_every_process_and_is_repeatable() -> None:
    pool = DecoderPool(workers=2, limits=LIMITS)
    before = children()
    for future in [pool.submit(io.BytesIO(GOOD)) for _ in range(8)]:
        assert future.result(timeout=60).width == 8
    started = children() - before
    assert started
    pool.close()
    pool.close()
    assert not children() & started
    assert not any(alive(pid) for pid in started)
    with pytest.raises(RuntimeError):
        pool.submit(io.BytesIO(GOOD))


def test_the_parents_memory_does_not_grow_with_the_pictures() -> None:
    data = encoded(Image.effect_noise((2400, 2400), 60), "PNG")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    with DecoderPool(workers=2, limits=Limits(canvas_side=512)) as pool:
        for future in [pool.submit(io.BytesIO(data)) for _ in range(4)]:
            future.result(timeout=60)
        before, peak = resident(), 0
        for _ in range(10):
            for future in [pool.submit(io.BytesIO(data)) for _ in range(4)]:
                future.result(timeout=60)
            peak = max(peak, resident())
    # One decoded picture is 23 MB, one file 5 MB: neither stays here.
    assert peak - before < 20e6
