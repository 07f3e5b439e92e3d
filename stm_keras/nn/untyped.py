"""Operations and tensors without their annotations.

Keras's name the tensors of every backend at once, and None besides, so that no
type checker can follow a chain of them. Signatures of our own say
`tf.Tensor`.
"""

from typing import Any

import keras

ops: Any = keras.ops

Tensor = Any
"""`tf.Tensor`, whose annotations know no ellipsis and few operators."""
