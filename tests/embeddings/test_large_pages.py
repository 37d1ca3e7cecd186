from __future__ import annotations

import mmap
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from booru_ml.types import PixelArray
from embeddings.index import graph, pages
from embeddings.index.graph import GraphIndex

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LARGE = 2**21


def large_kib(memory: PixelArray) -> int:
    """Of the mappings in which these bytes lie."""
    start, end, inside, found = memory.ctypes.data, memory.ctypes.data + memory.nbytes, False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(head[1], 16) < end and int(head[2], 16) > start
        elif inside and line.startswith("AnonHugePages:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(not SWITCH.exists() or "[never]" in SWITCH.read_text(), reason="this kernel gives no large pages")
def test_memory_comes_in_large_pages():
    memory = np.frombuffer(mmap.mmap(-1, 8 * LARGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype=np.uint8)
    pages.on_large_pages(memory)
    memory[:] = 7
    assert large_kib(memory) >= LARGE // 1024


def test_a_graph_asks_for_them_as_it_grows(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(graph, "on_large_pages", lambda memory: asked.append(memory.nbytes))
    vectors = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    index = GraphIndex(64)
    index.add(np.arange(1000), vectors)
    while index.waiting:
        index.fold(100)
        index.use_large_pages()
    codes, links = asked[::2], asked[1::2]
    assert codes[-1] >= 1000 / graph.PAGED_ANEW * 64 * 2
    assert all(later >= graph.PAGED_ANEW * earlier for earlier, later in pairwise(codes))
    assert all(links)
    held, ids = index.parts()
    GraphIndex.of(held, ids, effort=index.effort, recall=1.0, tuned_at=1000)
    assert asked[-2] == 1000 * 64 * 2


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, pages.WORTH - 1, pages.WORTH + 5])
def test_any_memory_may_be_asked_for(size):
    memory = np.full(size + 3, 7, dtype=np.uint8)[3:]
    pages.on_large_pages(memory)
    assert (memory == 7).all()


def test_a_system_that_knows_no_advice_is_left_alone(monkeypatch):
    monkeypatch.setattr(pages, "_advise", lambda: None)
    pages.on_large_pages(np.zeros(pages.WORTH, dtype=np.uint8))
