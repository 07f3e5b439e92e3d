"""Does every tool that loads our SavedModel give what Keras gives?

`python -m benchmarks.parity` prints the table of docs/serving.md.
"""
