"""Text vectors: NumPy against scikit-learn, and files."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from state.events.invoice import Invoice, Line
from training.features.text import (
    MAX_CHARS,
    TEXTS,
    VECTORS,
    WIDTH,
    KnownVectors,
    TermVectors,
    TextEncoder,
    load_text,
    terms,
)
from training.models.text_encoders import descriptions_before, fit_offline

COLOURS = ("RED", "BLUE", "PINK", "GREEN", "IVORY", "SILVER", "BLACK")
THINGS = ("RETROSPOT MUG", "HEART T-LIGHT HOLDER", "LUNCH BAG", "PAPER CHAIN KIT", "CAKE STAND", "NAPKINS, PACK OF 20")
DESCRIPTIONS = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS] + [
    f"{thing} {size}" for thing in THINGS for size in ("SMALL", "LARGE", "50'S CHRISTMAS")
]


@pytest.fixture(scope="module")
def offline() -> TermVectors:
    return fit_offline(DESCRIPTIONS)


def test_terms_are_words_and_grams_within_them() -> None:
    assert terms("Red M") == [" re", "red", "ed ", " red", "red ", " red ", " m "]
    assert terms("  ") == []
    assert terms("é!") == [" é "]


def test_numpy_equals_scikit_learn(offline: TermVectors) -> None:
    texts = sorted(DESCRIPTIONS)
    tfidf = TfidfVectorizer(analyzer=terms, vocabulary=offline.texts)
    svd = TruncatedSVD(min(WIDTH, len(texts)), random_state=0)
    reduced = svd.fit_transform(tfidf.fit_transform(texts))
    unheard = ["RED CAKE HOLDER", "purple lunch chain", "PAPER PAPER PAPER napkins"]
    for described, expected in ((texts, reduced), (unheard, svd.transform(tfidf.transform(unheard)))):
        assert offline.encode(described)[:, : expected.shape[1]] == pytest.approx(normalize(expected), abs=1e-5)


def test_vectors_have_length_1_and_similar_descriptions_are_near(offline: TermVectors) -> None:
    red, blue, bag, new = offline.encode(
        ["RED RETROSPOT MUG", "BLUE RETROSPOT MUG", "PINK LUNCH BAG", "red retrospot mugs"]
    )
    assert np.linalg.norm([red, blue, bag, new], axis=1) == pytest.approx(1.0, abs=1e-5)
    assert red @ new > red @ blue > red @ bag


@pytest.mark.parametrize("description", [None, "", "   ", "?!", "xyzzyx", "\x00"])
def test_a_description_without_a_known_term_is_zeros(offline: TermVectors, description: str | None) -> None:
    assert not offline.encode([description]).any()


def test_the_order_of_descriptions_and_their_repetition_change_nothing(offline: TermVectors) -> None:
    again = fit_offline([*reversed(DESCRIPTIONS), *DESCRIPTIONS[:9], f" {DESCRIPTIONS[0]} "])
    assert again.texts == offline.texts
    assert np.array_equal(again.vectors, offline.vectors)


def test_a_long_description_is_truncated(offline: TermVectors) -> None:
    long = "RED MUG ".ljust(MAX_CHARS)
    assert np.array_equal(offline.encode([long + "LUNCH BAG"]), offline.encode([long]))


def test_changing_a_returned_vector_does_not_change_the_cache(offline: TermVectors) -> None:
    first = offline.encode(["RED LUNCH BAG"])
    first *= 0.0
    assert offline.encode(["RED LUNCH BAG"]).any()


@pytest.mark.parametrize("descriptions", [[], ["A"], ["MUG"], ["MUG", "CUP"], ["A B", "B A"], ["?", ""]])
def test_a_shop_with_hardly_any_descriptions(descriptions: list[str]) -> None:
    encoded = fit_offline(descriptions).encode([*descriptions, "MUG"])
    assert encoded.shape == (len(descriptions) + 1, WIDTH)
    assert np.isfinite(encoded).all()


def test_known_vectors_are_looked_up_and_others_are_zeros() -> None:
    known = KnownVectors.of(["MUG", "CUP"], np.asarray([[3.0, 4.0], [0.0, 0.0]], np.float32))
    encoded = known.encode([" MUG ", "CUP", "mug", None, ""])
    assert encoded == pytest.approx(np.asarray([[0.6, 0.8], [0, 0], [0, 0], [0, 0], [0, 0]]))
    assert KnownVectors.empty(3).encode(["MUG"]).shape == (1, 3)


@pytest.mark.parametrize("which", ["offline", "known", "nothing"])
def test_a_loaded_encoder_equals_the_saved_one(which: str, offline: TermVectors, tmp_path: Path) -> None:
    encoders: dict[str, TextEncoder] = {
        "offline": offline,
        "known": KnownVectors(["MUG"], np.ones((1, 512), np.float32)),
        "nothing": TermVectors.empty(),
    }
    encoders[which].save(tmp_path)
    loaded = load_text(tmp_path)
    asked = ["MUG", "RED RETROSPOT MUG", "unheard of", None]
    assert type(loaded) is type(encoders[which])
    assert np.array_equal(loaded.encode(asked), encoders[which].encode(asked))


@pytest.mark.parametrize(
    ("texts", "vectors"),
    [
        ({"encoder": "Unheard", "texts": ["MUG"]}, np.ones((1, 2), np.float32)),
        ({"encoder": "TermVectors", "texts": ["MUG", "MUG"]}, np.ones((2, 2), np.float32)),
        ({"encoder": "KnownVectors", "texts": ["MUG"]}, np.ones((2, 2), np.float32)),
        ({"encoder": "KnownVectors", "texts": ["MUG"]}, np.ones((1, 2), np.float64)),
        ({"encoder": "KnownVectors", "texts": ["MUG"]}, np.asarray([[np.nan]], np.float32)),
        ({"encoder": "KnownVectors", "texts": ["MUG"]}, np.asarray([{}], object)),
        ({"texts": ["MUG"]}, np.ones((1, 2), np.float32)),
    ],
)
def test_a_damaged_file_is_refused(texts: object, vectors: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / TEXTS).write_bytes(msgspec.json.encode(texts))
    np.savez(tmp_path / VECTORS, vectors=vectors)
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        load_text(tmp_path)


def test_only_earlier_descriptions_are_in_the_training_set() -> None:
    log = [
        Invoice("1", "ann", 10, (Line("a", 1000, 1.0, " MUG "), Line("b", 1000, 1.0), Line("c", -1000, 1.0, "CUP"))),
        Invoice("2", "bob", 20, (Line("a", 1000, 1.0, "RED MUG"),)),
    ]
    assert descriptions_before(log, 20) == ["CUP", "MUG"]
    assert descriptions_before(log, 21) == ["CUP", "MUG", "RED MUG"]
