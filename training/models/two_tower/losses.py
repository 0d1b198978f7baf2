"""Ranking losses: the number of items ranked before one that was bought, estimated from a batch's negatives.

WMRB (Liu and Natarajan, "WMRB: Learning to rank in a scalable batch training approach", 2017, arXiv:1711.04015): with
Z the negatives, n of all N items, the margin rank of a bought item of score s is

    r = N / n · Σ over z in Z of max(0, 1 − s + s_z)        and its loss        log(1 + r).

The balanced form weighs every bought item by 1 / how often it is bought, so that popular items do not dominate.
"""

from typing import Any

import tensorflow as tf

LOSSES = ("wmrb", "balanced_wmrb")


def wmrb(bought: Any, negatives: Any, customer_index: Any, allowed: Any, scale: Any, weight: Any) -> Any:
    """Mean of log(1 + margin rank) over what was bought, weighted; a scalar.

    Args:
        bought: Scores of bought items, float32 ``[bought]``.
        negatives: Scores of the negatives for each customer, float32 ``[customers, negatives]``.
        customer_index: Customer of each bought item, int ``[bought]``.
        allowed: 1 where a negative counts for a customer and 0 where it does not (it was bought), float32
            ``[customers, negatives]``.
        scale: N / n of each customer, float32 ``[customers]``.
        weight: Of each bought item, float32 ``[bought]``: all 1 for WMRB, 1 / popularity for its balanced form.
    """
    margins = tf.nn.relu(1.0 - bought[:, None] + tf.gather(negatives, customer_index)) * tf.gather(
        allowed, customer_index
    )
    rank = tf.gather(scale, customer_index) * tf.reduce_sum(margins, axis=1)
    return tf.reduce_sum(weight * tf.math.log1p(rank)) / tf.reduce_sum(weight)
