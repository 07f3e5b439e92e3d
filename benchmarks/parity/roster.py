"""Every tool that the table has a line for."""

from benchmarks.parity import (
    converted,
    javascript,
    kserve_rest,
    serving,
    tensorflow_tools,
)

TOOLS = (
    *tensorflow_tools.TOOLS,
    *converted.TOOLS,
    *serving.TOOLS,
    *kserve_rest.TOOLS,
    *javascript.TOOLS,
)
