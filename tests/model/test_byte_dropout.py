"""Dropout from single bytes: how much is dropped, what the rest becomes, and where its draws come from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.models.byte_dropout import ByteDropout

RATE = 26 / 256
VALUES = np.random.default_rng(7).normal(size=(2_000, 64)).astype(np.float32)


def layer(seed: int = 7, rate: float = 0.1) -> ByteDropout:
    keras.utils.set_random_seed(seed)
    return ByteDropout(rate, "dropout")


def test_the_rate_is_rounded_to_a_256th_and_the_rest_keeps_the_expectation() -> None:
    found = layer()(VALUES, training=True).numpy()
    dropped = found == 0.0
    deviation = np.sqrt(RATE * (1 - RATE) / dropped.size)
    assert abs(dropped.mean() - RATE) < 4 * deviation
    np.testing.assert_allclose(found[~dropped], VALUES[~dropped] / (1 - RATE), rtol=1e-6)


def test_every_element_is_drawn_by_itself() -> None:
    drop = layer()
    dropped = np.mean([drop(VALUES[:64], training=True).numpy() == 0.0 for _ in range(400)], axis=0)
    # Were elements tied to each other, or a byte of the four constant, some would be far from the rate.
    assert np.abs(dropped - RATE).max() < 6 * np.sqrt(RATE * (1 - RATE) / 400)
    centred = (drop(VALUES, training=True).numpy() == 0.0) - RATE
    together = centred.T @ centred / len(centred) / (RATE * (1 - RATE))
    assert np.abs(together - np.diag(np.diag(together))).max() < 6 / np.sqrt(len(centred))


def test_the_gradient_has_the_same_zeros_and_scale() -> None:
    drop, values = layer(), tf.constant(VALUES)
    with tf.GradientTape() as tape:
        tape.watch(values)
        found = drop(values, training=True)
    gradient = tape.gradient(found, values).numpy()
    np.testing.assert_array_equal(gradient == 0.0, found.numpy() == 0.0)
    np.testing.assert_allclose(gradient[gradient != 0.0], 1 / (1 - RATE), rtol=1e-6)


def test_a_seed_gives_the_same_draws_and_each_call_others() -> None:
    first, again, other = layer(), layer(), layer(8)
    calls = [first(VALUES, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal(calls[0], again(VALUES, training=True).numpy())
    assert (calls[0] != calls[1]).any()
    assert (calls[0] != other(VALUES, training=True).numpy()).any()


def test_a_resumed_training_goes_on_with_its_draws() -> None:
    first, resumed = layer(), layer(8)
    first(VALUES, training=True)
    (state,) = first.variables
    resumed.variables[0].assign(state)
    np.testing.assert_array_equal(first(VALUES, training=True).numpy(), resumed(VALUES, training=True).numpy())


@pytest.mark.parametrize(("training", "rate"), [(False, 0.1), (True, 0.0)])
def test_nothing_is_dropped_outside_training_or_at_a_rate_of_0(training: bool, rate: float) -> None:
    np.testing.assert_array_equal(layer(rate=rate)(VALUES, training=training).numpy(), VALUES)
