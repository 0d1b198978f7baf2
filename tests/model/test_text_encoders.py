"""Text encoders of TensorFlow Hub: loading, the cache of vectors, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.preprocessing import normalize

from training.errors import TextEncoderUnavailable
from training.features.text import KnownVectors
from training.models.text_encoders import embed, make_encoder


class Sentences(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Has the signature of the Universal Sentence Encoder; 512 numbers that depend on the text alone, and counts."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.width = width
        self.projection = tf.Variable(tf.random.stateless_normal([256, width], seed=[1, 2]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # type: ignore[untyped-decorator]
    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        letters = tf.one_hot(tf.cast(tf.io.decode_raw(texts, tf.uint8, fixed_length=64), tf.int32), 256)
        return tf.linalg.matmul(tf.reduce_sum(letters, axis=1), self.projection)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as ``tensorflow_hub.load`` finds it at a local path."""
    folder = tmp_path_factory.mktemp("sentences")
    tf.saved_model.save(Sentences(), str(folder))
    return folder


def test_an_encoder_of_the_hub_is_loaded_and_its_vectors_are_cached(sentences: Path, tmp_path: Path) -> None:
    encoder = make_encoder([" RED MUG", "BLUE CUP", "RED MUG"], str(sentences), tmp_path)
    assert isinstance(encoder, KnownVectors)
    assert encoder.texts == ["BLUE CUP", "RED MUG"]
    expected = normalize(Sentences()(tf.constant(["RED MUG", "BLUE CUP"])).numpy())
    assert encoder.encode(["RED MUG", "BLUE CUP"]) == pytest.approx(expected, abs=1e-5)
    assert encoder.width == 512
    assert not encoder.encode(["GREEN CUP"]).any()


def test_cached_vectors_need_no_encoder(sentences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embed(["RED MUG", "BLUE CUP"], str(sentences), tmp_path)
    calls: list[int] = []

    def counted(handle: str) -> object:
        calls.append(1)
        return tf.saved_model.load(handle)

    monkeypatch.setattr("tensorflow_hub.load", counted)
    assert np.array_equal(embed(["RED MUG"], str(sentences), tmp_path).vectors, first.vectors[1:])
    assert calls == []
    more = embed(["BLUE CUP", "GREEN BOWL", "RED MUG"], str(sentences), tmp_path)
    assert calls == [1]
    assert np.array_equal(more.vectors[[0, 2]], first.vectors)


def test_another_model_at_the_same_path_is_another_encoder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tf.saved_model.save(Sentences(), str(folder))
    assert embed(["RED MUG"], str(folder), tmp_path).width == 512
    tf.saved_model.save(Sentences(width=16), str(folder))
    assert embed(["RED MUG"], str(folder), tmp_path).width == 16


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_cache_is_made_again(content: bytes, sentences: Path, tmp_path: Path) -> None:
    first = embed(["RED MUG"], str(sentences), tmp_path)
    (file,) = (tmp_path / "text_vectors").iterdir()
    file.write_bytes(content)
    assert np.array_equal(embed(["RED MUG"], str(sentences), tmp_path).vectors, first.vectors)
    assert [path.name for path in (tmp_path / "text_vectors").iterdir()] == [file.name]


def test_without_an_encoder_the_error_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderUnavailable, match=r"NEXTBASKET_TEXT_ENCODER.*folder.*'offline'"):
        embed(["RED MUG"], str(tmp_path / "nowhere"), tmp_path)
    # Port 9 is the discard service: nobody listens there, as where there is no network.
    with pytest.raises(TextEncoderUnavailable, match=r"http://127\.0\.0\.1:9/encoder/4 cannot be used"):
        embed(["RED MUG"], "http://127.0.0.1:9/encoder/4", tmp_path)


def test_a_model_with_another_signature_is_refused(tmp_path: Path) -> None:
    class Lengths(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # type: ignore[untyped-decorator]
        def __call__(self, texts: tf.Tensor) -> tf.Tensor:
            return tf.strings.length(texts)

    tf.saved_model.save(Lengths(), str(tmp_path / "lengths"))
    with pytest.raises(TextEncoderUnavailable, match=r"gives int32 \[1\] for 1 texts"):
        embed(["RED MUG"], str(tmp_path / "lengths"), tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "nothing"))
    with pytest.raises(TextEncoderUnavailable, match="cannot be called"):
        embed(["RED MUG"], str(tmp_path / "nothing"), tmp_path)


def test_no_descriptions_need_no_encoder(tmp_path: Path) -> None:
    assert not embed([], str(tmp_path / "nowhere"), tmp_path).encode(["RED MUG"]).any()
