"""TFDS builders: one folder a data set, TFRecord shards out."""
