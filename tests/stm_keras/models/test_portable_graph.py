"""What other programs make something else of must not be in a graph."""

import numpy as np
import tensorflow as tf


def _nodes(function):
    """Nodes of a signature and of the functions that it calls, by graph."""
    definition = function.graph.as_graph_def()
    yield definition.node
    for called in definition.library.function:
        yield called.node_def


def test_a_cumulative_sum_names_its_axis(exported, signature):
    """Of axis -1 TensorFlow.js 4.22 makes another sum."""
    for nodes in _nodes(exported.loaded.signatures[signature]):
        named = {node.name: node for node in nodes}
        for node in nodes:
            if node.op == "Cumsum":
                axis = named[node.input[1].partition(":")[0]]
                value = tf.make_ndarray(axis.attr["value"].tensor)
                assert np.all(value >= 0)
