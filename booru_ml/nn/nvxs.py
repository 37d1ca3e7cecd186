"""Faces of drawn people by the native library that the ``animeface`` wheel carries (nvxs, Apache-2.0).

The wheel's own Python layer reads a private structure of Pillow and silently finds nothing on Pillow 12 and newer, so
this module binds the library itself. Only arrays of ours reach it: three-channel, of bounded size, copied into memory
that the library allocated. It scans square windows from about 43 pixels upwards for upright faces, in one thread;
the worst case (noise that passes its first test everywhere) takes some ten times the usual time.
"""

from __future__ import annotations

import ctypes as ct
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

from booru_ml.errors import Unavailable
from booru_ml.types import Box, PixelArray

LARGEST_SIDE = 640
"""Pixels; no larger canvas is handed to the library, whatever size is asked for."""
SMALLEST_SIDE = 58
"""Pixels; below it the library has no window to try."""

_STEP, _SCALE_FACTOR, _SMALLEST_WINDOW, _EDGE_LEVEL = 4.0, 1.095, 42.592, 4.0
_MOST_CANDIDATES = 8192  # the library's own limit: with room for as many it never truncates


class _Rect(ct.Structure):
    _fields_ = [(name, ct.c_int) for name in ("x", "y", "width", "height")]


class _Position(ct.Structure):
    _fields_ = [
        ("likelihood", ct.c_float),
        *((part, _Rect) for part in ("face", "left_eye", "right_eye", "nose", "mouth", "chin")),
    ]


class _Matrix(ct.Structure):
    _fields_ = [
        ("list", ct.c_int),
        ("list_step", ct.c_uint),
        *((name, ct.c_int) for name in ("n", "m", "rows", "cols", "step", "alias")),
        ("v", ct.POINTER(ct.c_float)),
    ]


_MatrixPointer = ct.POINTER(_Matrix)


def library_path() -> Path:
    """Where the wheel put the library. Raises ``Unavailable`` if the package or the library is not there."""
    try:
        files = metadata.distribution("animeface").files or []
    except metadata.PackageNotFoundError:
        raise Unavailable("The package animeface is not installed: pip install animeface.", code="faces") from None
    for file in files:
        path = Path(str(file.locate()))
        if path.name.startswith("libnvxs") and path.is_file():
            return path
    raise Unavailable(
        "The installed animeface package carries no native library; install one of its binary wheels.", code="faces"
    )


class _Library:
    """The functions and the weights of the native library, typed."""

    def __init__(self, path: Path) -> None:
        try:
            library = ct.CDLL(str(path))
            self.detector, self.face_1, self.face_2, self.direction, self.parts = (
                ct.addressof(ct.c_char.in_dll(library, f"nv_face_mlp_{name}"))
                for name in ("face_00", "face_01", "face_02", "dir", "parts")
            )
            self.alloc = library.nv_matrix3d_alloc
            self.free = library.nv_matrix_free
            self.zero = library.nv_matrix_zero
            self.gray = library.nv_gray
            self.gaussian = library.nv_gaussian5x5
            self.laplacian = library.nv_laplacian1
            self.integral = library.nv_integral
            self.detect = library.nv_face_detect
        except (OSError, ValueError, AttributeError) as error:
            raise Unavailable(f"The native face library {path.name} does not load: {error}", code="faces") from error
        for function in (self.free, self.zero, self.gray, self.gaussian, self.laplacian, self.integral):
            function.restype = None
        self.alloc.argtypes, self.alloc.restype = [ct.c_int] * 3, _MatrixPointer
        self.free.argtypes = [ct.POINTER(_MatrixPointer)]
        self.zero.argtypes = [_MatrixPointer]
        self.gray.argtypes = [_MatrixPointer, _MatrixPointer]
        self.gaussian.argtypes = [_MatrixPointer, ct.c_int, _MatrixPointer, ct.c_int]
        self.laplacian.argtypes = [_MatrixPointer, _MatrixPointer, ct.c_float]
        self.integral.argtypes = [_MatrixPointer, _MatrixPointer, ct.c_int]
        self.detect.argtypes = [
            ct.POINTER(_Position),
            ct.c_int,
            _MatrixPointer,
            _MatrixPointer,
            ct.POINTER(_Rect),
            ct.c_void_p,
            ct.c_void_p,
            ct.POINTER(ct.c_void_p),
            ct.c_int,
            ct.c_void_p,
            ct.c_float,
            ct.c_float,
            ct.c_float,
        ]
        self.detect.restype = ct.c_int


class _Matrices:
    """Native matrices of one call, zeroed, freed at the end."""

    def __init__(self, library: _Library) -> None:
        self._library = library
        self._held: list[ct._Pointer[_Matrix]] = []

    def __enter__(self) -> _Matrices:
        return self

    def new(self, channels: int, rows: int, columns: int) -> ct._Pointer[_Matrix]:
        matrix: ct._Pointer[_Matrix] = self._library.alloc(channels, rows, columns)
        if not matrix or not matrix.contents.v:
            raise MemoryError("no memory for face finding")
        self._held.append(matrix)
        head = matrix.contents
        if (head.n, head.rows, head.cols, head.m) != (channels, rows, columns, rows * columns) or head.step < channels:
            raise Unavailable("The native face library lays its matrices out in an unknown way.", code="faces")
        self._library.zero(matrix)
        return matrix

    def __exit__(self, *_: object) -> None:
        for matrix in self._held:
            self._library.free(ct.byref(matrix))


@cache
def _library() -> _Library:
    return _Library(library_path())


def find_faces(pixels: PixelArray) -> list[tuple[Box, float]]:
    """Faces in one canvas H×W×3 (uint8 RGB, sides of 58–640 pixels): boxes as fractions and likelihoods of 0.5–1.

    Raises ``ValueError`` for any other shape, ``Unavailable`` when there is no library.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"face finding takes H×W×3 uint8, not {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape[:2]
    if max(height, width) > LARGEST_SIDE or min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"face finding takes sides of {SMALLEST_SIDE}–{LARGEST_SIDE} pixels, not {width}×{height}")
    library = _library()
    positions = (_Position * _MOST_CANDIDATES)()
    bagging = (ct.c_void_p * 3)(library.face_1, library.face_2, None)
    with _Matrices(library) as matrices:
        colour = matrices.new(3, height, width)
        step = colour.contents.step
        view = np.ctypeslib.as_array(colour.contents.v, shape=(height, width, step))
        view[:, :, :3] = pixels[:, :, ::-1]
        gray, smooth, edge = (matrices.new(1, height, width) for _ in range(3))
        gray_sum, edge_sum = (matrices.new(1, height + 1, width + 1) for _ in range(2))
        library.gray(gray, colour)
        library.gaussian(smooth, 0, gray, 0)
        library.laplacian(edge, smooth, _EDGE_LEVEL)
        library.integral(gray_sum, gray, 0)
        library.integral(edge_sum, edge, 0)
        found = library.detect(
            positions,
            _MOST_CANDIDATES,
            gray_sum,
            edge_sum,
            ct.byref(_Rect(0, 0, width, height)),
            library.direction,
            library.detector,
            bagging,
            2,
            library.parts,
            _STEP,
            _SCALE_FACTOR,
            _SMALLEST_WINDOW,
        )
    faces = []
    for position in positions[: max(0, found)]:
        face = position.face
        box = Box(face.x / width, face.y / height, face.width / width, face.height / height)
        faces.append((box, float(position.likelihood)))
    return sorted(faces, key=lambda item: -item[1])
