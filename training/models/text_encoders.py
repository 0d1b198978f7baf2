"""Makes text encoders: the offline one with scikit-learn, a large one from TensorFlow Hub.

Both become arrays of ``training.features.text``: service needs neither scikit-learn nor TensorFlow.
"""

import hashlib
import logging
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from state.events.invoice import Invoice
from training.errors import TextEncoderUnavailable
from training.features.text import MAX_TERMS, WIDTH, Floats, KnownVectors, TermVectors, TextEncoder, terms, trimmed

logger = logging.getLogger(__name__)

OFFLINE = "offline"
"""The value of the setting for the encoder that needs no download."""

_BATCH = 256
_SEED = 0
"""Of the SVD's random start: the same descriptions give the same vectors, whatever the seed of a training."""


def make_encoder(descriptions: Iterable[str], encoder: str, cache: Path) -> TextEncoder:
    """The encoder of the setting, from the descriptions known by then.

    Args:
        descriptions: In any order, repeated or not.
        encoder: ``offline``, a TensorFlow Hub handle, or the path of a SavedModel.
        cache: Folder of the vectors that a Hub encoder gave.

    Raises:
        TextEncoderUnavailable: The Hub encoder cannot be loaded, or is none.
    """
    return fit_offline(descriptions) if encoder == OFFLINE else embed(descriptions, encoder, cache)


def descriptions_before(invoices: Sequence[Invoice], until: int) -> list[str]:
    """Distinct descriptions of the lines dated before ``until``, sorted."""
    found: set[str] = set()
    for invoice in invoices:
        if invoice.date >= until:
            break
        found.update(text for line in invoice.lines if (text := trimmed(line.description)))
    return sorted(found)


def fit_offline(descriptions: Iterable[str]) -> TermVectors:
    """Fit TF-IDF over the ``MAX_TERMS`` most frequent terms (ties by the alphabet) and reduce it to ``WIDTH`` numbers.

    The order of the descriptions and their repetition change nothing; fewer descriptions or terms than ``WIDTH`` leave
    the last numbers 0.
    """
    texts = sorted({text for each in descriptions if (text := trimmed(each))})
    frequency = Counter(term for text in texts for term in set(terms(text)))
    known = sorted(frequency, key=lambda term: (-frequency[term], term))[:MAX_TERMS]
    if len(known) < 2:  # scikit-learn reduces two columns or more
        return TermVectors.empty()
    tfidf = TfidfVectorizer(analyzer=terms, vocabulary=known)
    weighted = tfidf.fit_transform(texts)
    svd = TruncatedSVD(min(WIDTH, len(texts), len(known)), random_state=_SEED)
    with np.errstate(divide="ignore", invalid="ignore"):  # the share of variance explained, where there is no variance
        svd.fit(weighted)
    loadings = svd.components_.T * tfidf.idf_[:, None]
    vectors = np.pad(loadings, ((0, 0), (0, WIDTH - loadings.shape[1]))).astype(np.float32)
    return TermVectors(known, vectors)


def embed(descriptions: Iterable[str], handle: str, cache: Path) -> KnownVectors:
    """Embed descriptions with an encoder of TensorFlow Hub, each once: known vectors come from the cache.

    Args:
        descriptions: In any order, repeated or not.
        handle: A Hub handle (a URL), or the path of a SavedModel, that can be called with a string tensor ``[n]`` and
            gives float32 ``[n, width]``, as the Universal Sentence Encoder (Cer et al. 2018, arXiv:1803.11175) does.
        cache: Folder; the file below it is found by the handle, a vector in it by a hash of handle and text.

    Raises:
        TextEncoderUnavailable: It cannot be loaded, or gives something else.
    """
    texts = sorted({text for each in descriptions if (text := trimmed(each))})
    model = _identity(handle)
    keys = [hashlib.sha256(f"{model}\0{text}".encode()).hexdigest() for text in texts]
    file = cache / "text_vectors" / f"{hashlib.sha256(model.encode()).hexdigest()[:16]}.npz"
    known = _read(file)
    missing = [index for index, key in enumerate(keys) if key not in known]
    if missing:
        found = _embed([texts[index] for index in missing], handle)
        known.update((keys[index], vector) for index, vector in zip(missing, found, strict=True))
        _write(file, known)
    if not texts:
        return KnownVectors.empty()
    return KnownVectors.of(texts, np.stack([known[key] for key in keys]))


def _identity(handle: str) -> str:
    """The key of an encoder in the cache: its handle, and for a folder also the size and date of its files."""
    folder = Path(handle)
    if not folder.is_dir():
        return handle
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    states = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return f"{folder.resolve()} {states}"


def _embed(texts: Sequence[str], handle: str) -> Floats:
    import tensorflow as tf

    encoder = _load(handle)
    logger.info("embedding %d descriptions with %s", len(texts), handle)
    parts: list[NDArray[Any]] = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        try:
            vectors = encoder(tf.constant(batch)).numpy()
        except Exception as error:  # a foreign model can fail in any way
            raise TextEncoderUnavailable(_sentence(handle, f"it cannot encode a batch of texts: {error}")) from error
        if vectors.ndim != 2 or len(vectors) != len(batch) or vectors.dtype != np.float32:
            raise TextEncoderUnavailable(
                _sentence(handle, f"it gives {vectors.dtype} {list(vectors.shape)} for {len(batch)} texts")
            )
        parts.append(vectors)
    return np.concatenate(parts)


def _load(handle: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
        import tensorflow_hub
    try:
        encoder = tensorflow_hub.load(handle)
    except Exception as error:  # no network, no such path, a damaged model: each has errors of its own
        raise TextEncoderUnavailable(_sentence(handle, str(error))) from error
    if not callable(encoder):
        raise TextEncoderUnavailable(_sentence(handle, "it cannot be called with texts"))
    return encoder


def _sentence(handle: str, reason: str) -> str:
    return (
        f"The text encoder {handle} cannot be used ({reason.strip().rstrip('.')}): set NEXTBASKET_TEXT_ENCODER to the "
        f"folder of a copy that you downloaded and unpacked, or to {OFFLINE!r} for the one that needs no download."
    )


def _read(file: Path) -> dict[str, Floats]:
    """The vectors of the cache, by key; none where the file cannot be read."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return dict(zip(arrays["keys"].tolist(), arrays["vectors"], strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        logger.warning("the cached text vectors %s cannot be read and are computed again: %s", file, error)
        return {}


def _write(file: Path, known: dict[str, Floats]) -> None:
    """Replace the cache's file as a whole, so that another process never reads half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as place:
        try:
            np.savez(place, keys=np.asarray(list(known)), vectors=np.stack(list(known.values())))
            place.close()
            Path(place.name).replace(file)
        except BaseException:
            Path(place.name).unlink(missing_ok=True)
            raise
