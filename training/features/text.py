"""Text vectors of descriptions in NumPy: encoders fitted in training and stored as arrays in the bundle.

``TermVectors`` is the offline encoder: TF-IDF over words and their 3-4-grams, reduced by a truncated SVD (latent
semantic analysis: Deerwester et al., JASIS 41, 1990). ``KnownVectors`` is a table of the vectors that a large encoder
(Universal Sentence Encoder) gave the descriptions of the training set. ``training.models.text_encoders`` makes both.
"""

import math
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events.short_cache import cache_short

Floats = NDArray[np.float32]

WIDTH = 64
"""Length of the offline encoder's vectors."""
MAX_TERMS = 8_000
MAX_CHARS = 1_000
"""Longer descriptions are truncated."""
MAX_WIDTH = 4_096
"""Most numbers in a vector; sentence encoders have 512 to 1,024."""
_NPY_HEADER_BYTES = 4_096
GRAMS = (3, 4)

TEXTS = "text.json"
VECTORS = "text.npz"

_CACHE_SIZE = 20_000
"""Descriptions whose vectors are cached: 5 MB at 64 numbers each."""
_CACHED_CHARS = 256
"""Longest description whose vector is cached."""
_EPSILON = 1e-6
"""A sum this much shorter than its parts is rounding: the description has no component in the reduced space."""

_WORD = re.compile(r"\w+")


class TextEncoder(Protocol):
    """Gives descriptions vectors of length 1, so that their dot product is the cosine of their angle."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    def encode(self, descriptions: Sequence[str | None]) -> Floats:
        """Vectors, float32 ``[n, width]``; zeros for None and for descriptions the encoder has no vector for."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files that ``load_text`` reads."""
        ...


def terms(description: str) -> list[str]:
    """Words and the 3- and 4-grams within them, in order and as often as they occur.

    A word is padded with spaces, so that a gram at its edge differs from one inside: "red mug" gives
    `` re``, ``red``, ``ed ``, `` red``, ``red ``, `` red `` and so on.
    """
    found: list[str] = []
    for word in _WORD.findall(description[:MAX_CHARS].lower()):
        padded = f" {word} "
        for size in GRAMS:
            found.extend(padded[start : start + size] for start in range(len(padded) - size + 1))
        if len(padded) > max(GRAMS):
            found.append(padded)
    return found


class _Vectors:
    """Texts and a vector for each; the base of both encoders."""

    def __init__(self, texts: Sequence[str], vectors: Floats) -> None:
        """``vectors`` float32 ``[texts, width]``, one for each text.

        Raises:
            ValueError: A text occurs twice, or the vectors are of another shape or not finite.
        """
        if vectors.ndim != 2 or len(vectors) != len(texts) or len(set(texts)) != len(texts):
            raise ValueError(f"{len(texts)} distinct texts do not go with vectors of shape {vectors.shape}")
        if vectors.dtype != np.float32 or not np.isfinite(vectors).all():
            raise ValueError("the text vectors are no finite float32")
        self.texts = list(texts)
        self.vectors = vectors
        self._position = {text: position for position, text in enumerate(self.texts)}

    def __reduce__(self) -> tuple[type[Self], tuple[list[str], Floats]]:
        return type(self), (self.texts, self.vectors)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.vectors.shape[1])

    def save(self, folder: Path) -> None:
        """Write the files that ``load_text`` reads."""
        (folder / TEXTS).write_bytes(msgspec.json.encode(_Saved(type(self).__name__, self.texts)))
        np.savez(folder / VECTORS, vectors=self.vectors)

    @classmethod
    def empty(cls, width: int = WIDTH) -> Self:
        """An encoder that gives every description zeros: for a log without descriptions."""
        return cls([], np.zeros((0, width), np.float32))


class TermVectors(_Vectors):
    """The offline encoder: a description is the sum of its terms' vectors, at length 1.

    ``vectors`` are the terms' inverse document frequency times their loadings in the SVD; the sum at length 1 equals
    scikit-learn's TF-IDF, SVD and normalisation, since the length of the TF-IDF vector cancels.
    """

    def __init__(self, texts: Sequence[str], vectors: Floats) -> None:
        super().__init__(texts, vectors)
        self._cached: Callable[[str], Floats] = cache_short(self._vector, entries=_CACHE_SIZE, longest=_CACHED_CHARS)

    def encode(self, descriptions: Sequence[str | None]) -> Floats:
        """Vectors, float32 ``[n, width]``; zeros for None and for descriptions without a known term."""
        encoded = np.zeros((len(descriptions), self.width), np.float32)
        for row, description in enumerate(descriptions):
            if description:
                encoded[row] = self._cached(description[:MAX_CHARS])
        return encoded

    def _vector(self, description: str) -> Floats:
        known = [self._position[term] for term in terms(description) if term in self._position]
        parts = self.vectors[known]
        total: Floats = parts.sum(axis=0)
        length = float(np.linalg.norm(total))
        if length <= _EPSILON * float(np.abs(parts).sum()):
            return np.zeros(self.width, np.float32)
        total /= np.float32(length)
        return total


class KnownVectors(_Vectors):
    """Vectors of the descriptions of the training set, looked up by their text.

    A description that is not among them gets zeros: the encoder itself is not part of a bundle.
    """

    @classmethod
    def of(cls, texts: Sequence[str], vectors: Floats) -> Self:
        """Scales vectors of any length to length 1."""
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(texts, np.divide(vectors, length, out=np.zeros_like(vectors), where=length > _EPSILON))

    def encode(self, descriptions: Sequence[str | None]) -> Floats:
        """Vectors, float32 ``[n, width]``; zeros for None and for descriptions not known at training."""
        positions = np.asarray([self._position.get(trimmed(each), -1) for each in descriptions], np.int64)
        encoded = np.zeros((len(positions), self.width), np.float32)
        encoded[positions >= 0] = self.vectors[positions[positions >= 0]]
        return encoded


def trimmed(description: str | None) -> str:
    """A description as ``KnownVectors`` looks it up: stripped, truncated to ``MAX_CHARS``."""
    return (description or "").strip()[:MAX_CHARS]


class _Saved(msgspec.Struct, frozen=True):
    """Contents of ``text.json``: the class of the encoder, and its texts in the order of the vectors."""

    encoder: str
    texts: list[str]


def load_text(folder: Path) -> TextEncoder:
    """Reads the files that an encoder's ``save`` wrote.

    Raises:
        OSError: A file is missing.
        ValueError: A file is damaged or of another kind (``msgspec`` and ``zipfile`` raise errors of their own).
    """
    saved = msgspec.json.decode((folder / TEXTS).read_bytes(), type=_Saved)
    encoders: dict[str, type[TermVectors | KnownVectors]] = {
        each.__name__: each for each in (TermVectors, KnownVectors)
    }
    if saved.encoder not in encoders:
        raise ValueError(f"there is no text encoder {saved.encoder!r}")
    with (folder / VECTORS).open("rb") as file:
        _require_size(file, len(saved.texts))
        with np.load(file, allow_pickle=False) as arrays:
            vectors: NDArray[Any] = arrays["vectors"]
    return encoders[saved.encoder](saved.texts, vectors)


def _require_size(file: BinaryIO, texts: int) -> None:
    """Check, before anything is unpacked, that the vectors are no larger than those of the texts can be.

    Raises:
        ValueError: They are: a compressed file may unpack to a thousand times its size.
    """
    with zipfile.ZipFile(file) as members:
        sizes = {member.filename: member.file_size for member in members.infolist()}
        most = texts * MAX_WIDTH * 8 + _NPY_HEADER_BYTES
        if set(sizes) != {"vectors.npy"} or sizes["vectors.npy"] > most:
            raise ValueError(
                f"the vectors unpack to {sum(sizes.values()):,} bytes; {texts:,} texts have {most:,} at most"
            )
        with members.open("vectors.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
    file.seek(0)
    if len(shape) != 2 or dtype.hasobject or math.prod(shape) * dtype.itemsize > most:
        raise ValueError(f"the vectors have the shape {shape}, and {texts:,} texts")
