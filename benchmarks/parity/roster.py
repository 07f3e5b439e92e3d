"""Every tool that the table has a line for."""

from benchmarks.parity import converted, serving, tensorflow_tools

TOOLS = (*tensorflow_tools.TOOLS, *converted.TOOLS, *serving.TOOLS)
