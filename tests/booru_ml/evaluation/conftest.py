from __future__ import annotations

from pathlib import Path

import pytest

from tests.booru_ml.training import folders


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.drawings(tmp_path_factory.mktemp("set") / "drawings", characters=12)
