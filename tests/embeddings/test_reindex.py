from __future__ import annotations

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from embeddings import similar, upkeep
from embeddings.index import snapshots
from tests.embeddings import large
from tests.embeddings.factories import VERSION, Artist, seen

board, large_soon = large.board, large.large_soon
pytestmark = pytest.mark.django_db(transaction=True)


def reindex(*options: str) -> str:
    out = StringIO()
    call_command("booru_reindex", *options, stdout=out)
    return out.getvalue()


def test_it_writes_what_a_process_starts_from(board, capsys):
    said = reindex("--threads", "1")
    assert re.search(
        rf"{VERSION} picture: {len(board)} vectors, graph, recall@10 (0.9\d+|1.000) at effort \d+, .* MiB", said
    )
    assert f"building pictures: {len(board)}/{len(board)}" in capsys.readouterr().err
    space = similar.spaces[VERSION, "picture"]
    with large.vectors_read() as read:
        assert large.nearly(large.answers(space, board), large.truth(board))
    assert read == []


def test_a_small_space_needs_no_file(large_soon):
    seen(Artist().character())
    assert "1 vectors, numpy, recall@10 1 (exact), no file needed" in reindex()
    assert not large_soon.exists()


def test_it_waits_for_nobody_and_says_so(board):
    space = similar.Space(VERSION, "picture")
    with snapshots.writer(upkeep.path_of(space)) as ours:
        assert ours
        with pytest.raises(CommandError, match="Another process builds this index"):
            reindex()


def test_nothing_to_build_is_said():
    with pytest.raises(CommandError, match="no such vectors"):
        reindex("--kind", "face")
