"""CL2N: vectors are centred on what all pictures have in common, normalised, and compared with class means.

Yan Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning", 2019,
https://arxiv.org/abs/1911.04623
"""

from __future__ import annotations

import numpy as np

from booru_ml.types import FloatArray
from embeddings.methods.base import Fitted, Method, Projection, SupportSet
from embeddings.methods.mean import euclidean


def common(support: SupportSet) -> FloatArray:
    """(D,) the mean of the background's pictures, as the paper takes that of its base classes; without a background,
    that of the subjects' means."""
    shown = support.background if len(support.background) else support.means()
    return np.asarray(shown.mean(axis=0), np.float32)


class SimpleShot(Method):
    name = "simpleshot"
    title = "SimpleShot, CL2N (Wang et al. 2019)"

    def projection(self, support: SupportSet) -> Projection:
        if len(support.background) < 2 and len(support.starts) < 2:
            return Projection()  # nothing in common can be told from what is the subject's own
        return Projection(centre=common(support))

    def score(self, similar: FloatArray, central: FloatArray, fitted: Fitted) -> FloatArray:
        return euclidean(central, fitted.means)
