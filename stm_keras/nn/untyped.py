"""Operations and tensors without their annotations.

Keras's name the tensors of every backend at once, and None besides, so that no
type checker can follow a chain of them. Signatures of our own say
`tf.Tensor`.
"""

from typing import Any

ops: Any
"""`keras.ops`. Keras is imported when they are asked for: who only decodes an
answer does without."""

Tensor = Any
"""`tf.Tensor`, whose annotations know no ellipsis and few operators."""


def __getattr__(name: str) -> Any:
    if name != "ops":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import keras

    return keras.ops
