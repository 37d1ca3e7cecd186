"""How the rows of a forward adapt to memory that ran out."""

from __future__ import annotations

from booru_ml.nn.routes.room import LONGEST_PATIENCE, PATIENCE, Room


def serve(room: Room, fits: int, forwards: int) -> list[int]:
    """Runs full forwards on a device with space for ``fits`` rows; the sizes that failed."""
    failed = []
    for _ in range(forwards):
        while room.rows > fits:
            failed.append(room.rows)
            room.too_many(room.rows)
        room.fitted(room.rows)
    return failed


def test_what_fits_is_remembered() -> None:
    room = Room(64)
    assert serve(room, fits=20, forwards=PATIENCE - 1) == [64, 32]
    assert room.rows == 16


def test_a_larger_size_is_tried_again_ever_more_rarely() -> None:
    room = Room(64)
    failed = serve(room, fits=20, forwards=20 * PATIENCE)
    assert failed[:2] == [64, 32]
    assert failed[2:] == [32] * 4  # after 1, 2, 4 and 8 times the patience
    serve(room, fits=20, forwards=2 * LONGEST_PATIENCE)
    assert len(serve(room, fits=20, forwards=2 * LONGEST_PATIENCE)) <= 2


def test_memory_that_comes_back_is_used_again() -> None:
    room = Room(64)
    serve(room, fits=20, forwards=1)
    assert serve(room, fits=64, forwards=2 * PATIENCE) == []
    assert room.rows == 64


def test_small_batches_tell_nothing_about_large_ones() -> None:
    room = Room(64)
    room.too_many(64)
    for _ in range(10 * PATIENCE):
        room.fitted(3)
    assert room.rows == 32


def test_a_smaller_batch_that_failed_lowers_the_room() -> None:
    room = Room(64)
    room.too_many(7)
    assert room.rows == 3
