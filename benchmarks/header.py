"""The machine in words."""

import datetime
import os
import platform
from pathlib import Path


def machine() -> str:
    """Date, processor and cores, for the top of a table."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{datetime.date.today()}, {name}, {os.cpu_count()} cores"
