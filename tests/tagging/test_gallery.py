"""Tagging with the real gallery: what the fake of ``conftest`` promises, and the round trip that users see."""

import numpy as np
import pytest

from booru_ml.types import Finding
from embeddings import services as embeddings
from embeddings.models import Support
from embeddings.types import SupportRef
from tagging import services
from tagging.models import Suggestion
from tests.tagging.factories import analysis, post, user

pytestmark = pytest.mark.django_db
DIM, STYLE = 64, 16


def seen(direction, rng):
    vector = direction + rng.normal(0, 0.02, DIM)
    return Finding((vector / np.linalg.norm(vector)).astype("f4"), np.full(STYLE, 0.25, "f4"), (), {}, "lite0@1")
