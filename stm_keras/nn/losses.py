"""The paper's two losses, on the score S before its softmax."""

import tensorflow as tf

from stm_keras.nn.untyped import ops


def log_probability(score: tf.Tensor) -> tf.Tensor:
    """Natural logarithm of Y = softmax(S) over all pixels of a map.

    Args:
        score: S, [B, H, W].

    Returns:
        ln Y, [B, H, W], computed without forming Y, so that no Y is 0.
    """
    return score - ops.logsumexp(score, axis=(1, 2), keepdims=True)


def cross_entropy(label: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """L0 = -sum Y_label ln Y_net (arXiv:2006.15898, Eq. 2).

    Args:
        label: Y_label, [B, H, W]; every map sums to 1.
        score: S, [B, H, W].

    Returns:
        L0 of every map [nat], [B]. Its least value is ln N_i.
    """
    return -ops.sum(label * log_probability(score), axis=(1, 2))


def entropy(score: tf.Tensor) -> tf.Tensor:
    """Lreg = -sum Y_net ln Y_net (arXiv:2006.15898, Eq. 4).

    Args:
        score: S, [B, H, W].

    Returns:
        Entropy of every map's Y [nat], [B], between 0 and ln(H W).
    """
    log_y = log_probability(score)
    return -ops.sum(ops.exp(log_y) * log_y, axis=(1, 2))
