"""Text vectors of descriptions, applied in numpy: what was fitted or embedded in training, as arrays in the bundle.

``TermVectors`` is the offline encoder: TF-IDF over words and their 3-4-grams, reduced by a truncated SVD (latent
semantic analysis: Deerwester et al., JASIS 41, 1990). ``KnownVectors`` holds the vectors that a large encoder, the
Universal Sentence Encoder say, gave the descriptions known at training. ``training.models.text_encoders`` makes both.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WIDTH = 64
"""Length of the offline encoder's vectors."""
MAX_TERMS = 8_000
MAX_CHARS = 1_000
"""Of a longer description the rest is not read."""
GRAMS = (3, 4)

TEXTS = "text.json"
VECTORS = "text.npz"

_REMEMBERED = 20_000
"""Descriptions whose vectors are kept: 5 MB at 64 numbers each."""
_NOTHING = 1e-6
"""A sum this much shorter than its parts is rounding: nothing of the description lies in the reduced space."""

_WORD = re.compile(r"\w+")


class TextEncoder(Protocol):
    """Gives descriptions vectors of length 1, so that their dot product is the cosine of their angle."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    def encode(self, descriptions: Sequence[str | None]) -> Floats:
        """Vectors, float32 ``[n, width]``; zeros for None and for what the encoder can say nothing of."""
        ...

    def save(self, folder: Path) -> None:
        """Write what ``load_text`` reads."""
        ...


def terms(description: str) -> list[str]:
    """Words and the 3- and 4-grams within them, in order and as often as they occur.

    A word stands between spaces, so that a gram at its edge differs from one inside: "red mug" gives
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
        """Take texts and their vectors, float32 ``[texts, width]``, over.

        Raises:
            ValueError: A text occurs twice, or the vectors are of another shape or not finite.
        """
        if vectors.ndim != 2 or len(vectors) != len(texts) or len(set(texts)) != len(texts):
            raise ValueError(f"{len(texts)} distinct texts do not go with vectors of shape {vectors.shape}")
        if vectors.dtype != np.float32 or not np.isfinite(vectors).all():
            raise ValueError("the text vectors are no finite float32")
        self.texts = list(texts)
        self.vectors = vectors
        self._place = {text: place for place, text in enumerate(self.texts)}

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.vectors.shape[1])

    def save(self, folder: Path) -> None:
        """Write what ``load_text`` reads."""
        (folder / TEXTS).write_bytes(msgspec.json.encode(_Saved(type(self).__name__, self.texts)))
        np.savez(folder / VECTORS, vectors=self.vectors)

    @classmethod
    def of_nothing(cls, width: int = WIDTH) -> Self:
        """An encoder that gives every description zeros: where there was none to learn from."""
        return cls([], np.zeros((0, width), np.float32))


class TermVectors(_Vectors):
    """The offline encoder: a description is the sum of its terms' vectors, at length 1.

    ``vectors`` are the terms' inverse document frequency times their loadings in the SVD; the sum at length 1 equals
    scikit-learn's TF-IDF, SVD and normalisation, since the length of the TF-IDF vector falls out.
    """

    def __init__(self, texts: Sequence[str], vectors: Floats) -> None:
        super().__init__(texts, vectors)
        self._remembered: Callable[[str], Floats] = lru_cache(_REMEMBERED)(self._vector)

    def encode(self, descriptions: Sequence[str | None]) -> Floats:
        """Vectors, float32 ``[n, width]``; zeros for None and for descriptions without a known term."""
        encoded = np.zeros((len(descriptions), self.width), np.float32)
        for row, description in enumerate(descriptions):
            if description:
                encoded[row] = self._remembered(description[:MAX_CHARS])
        return encoded

    def _vector(self, description: str) -> Floats:
        known = [self._place[term] for term in terms(description) if term in self._place]
        parts = self.vectors[known]
        total: Floats = parts.sum(axis=0)
        length = float(np.linalg.norm(total))
        if length <= _NOTHING * float(np.abs(parts).sum()):
            return np.zeros(self.width, np.float32)
        total /= np.float32(length)
        return total


class KnownVectors(_Vectors):
    """Vectors of the descriptions known at training, looked up by their text.

    A description that is not among them gets zeros: the encoder is not there in service, and a vector borrowed from a
    similar description would claim more than is known.
    """

    @classmethod
    def of(cls, texts: Sequence[str], vectors: Floats) -> Self:
        """Take texts and vectors of any length over."""
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(texts, np.divide(vectors, length, out=np.zeros_like(vectors), where=length > _NOTHING))

    def encode(self, descriptions: Sequence[str | None]) -> Floats:
        """Vectors, float32 ``[n, width]``; zeros for None and for descriptions not known at training."""
        places = [self._place.get(trimmed(description), -1) for description in descriptions]
        found = np.asarray(places, np.int64)
        encoded = np.zeros((len(places), self.width), np.float32)
        encoded[found >= 0] = self.vectors[found[found >= 0]]
        return encoded


def trimmed(description: str | None) -> str:
    """A description as ``KnownVectors`` looks it up: without space around it, cut at ``MAX_CHARS``."""
    return (description or "").strip()[:MAX_CHARS]


class _Saved(msgspec.Struct, frozen=True):
    """What ``text.json`` holds: which encoder, and its texts in the order of the vectors."""

    encoder: str
    texts: list[str]


def load_text(folder: Path) -> TextEncoder:
    """Read what an encoder's ``save`` wrote.

    Raises:
        OSError: A file is missing.
        ValueError: A file is damaged or holds something else (``msgspec`` and ``zipfile`` raise errors of their own).
    """
    saved = msgspec.json.decode((folder / TEXTS).read_bytes(), type=_Saved)
    encoders: dict[str, type[TermVectors | KnownVectors]] = {
        each.__name__: each for each in (TermVectors, KnownVectors)
    }
    if saved.encoder not in encoders:
        raise ValueError(f"there is no text encoder {saved.encoder!r}")
    with (folder / VECTORS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        vectors: NDArray[Any] = arrays["vectors"]
    return encoders[saved.encoder](saved.texts, vectors)
