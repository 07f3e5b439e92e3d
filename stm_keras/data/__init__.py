"""Prepared data sets as tf.data pipelines."""
