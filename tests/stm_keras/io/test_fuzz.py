"""Damaged files of every format: refused in one line, or read right."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks/readers/fuzz.py"
FORMATS = sorted(
    path.stem.removeprefix("tiny_") for path in _SCRIPT.parent.glob("tiny_*.py")
)
# Every day others; 10,000 a format and more are `make fuzz`.
_MUTATIONS = 100


def _fuzzed(*arguments):
    return subprocess.run(
        [sys.executable, _SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_damage(fuzz_seed):
    done = _fuzzed("--n", _MUTATIONS, "--seed", fuzz_seed)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in FORMATS:
        assert f"| {name} | " in done.stdout


def test_a_fault_is_found_and_kept(tmp_path):
    """A harness that cannot fail would say nothing."""
    for script in _SCRIPT.parent.glob("fuzz*.py"):
        (tmp_path / script.name).write_bytes(script.read_bytes())
    (tmp_path / "tiny_faulty.py").write_text(
        "import os\n"
        "from stm_keras.io import arrays\n"
        "from io import BytesIO\n"
        "import numpy as np\n"
        "sound = arrays.open_npy\n"
        "\n"
        "def opened(path):\n"
        "    n = path.stat().st_size\n"
        "    if n == SIZE:\n"
        "        return sound(path)\n"
        "    if n % 4 == 0:\n"
        "        os.abort()\n"
        "    if n % 4 == 1:\n"
        "        np.ones(1 << 20)\n"
        "    if n % 4 == 2:\n"
        "        raise KeyError('bias')\n"
        "    return sound(path)\n"
        "\n"
        "arrays.open_npy = opened\n"
        "content = BytesIO()\n"
        "np.save(content, np.arange(12.0).reshape(3, 4))\n"
        "SIZE = len(content.getvalue())\n"
        "\n"
        "def tiny_files():\n"
        "    return {'a.npy': content.getvalue()}\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "fuzz.py", "--n", "200"],
        capture_output=True,
        text=True,
        check=False,
        env={"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for fault in ("SIGABRT", "KeyError: 'bias'", "bytes for a file of"):
        assert fault in done.stdout
    kept = list((tmp_path / "stmk-fuzz").iterdir())
    assert len(kept) == done.stdout.count("VIOLATION")
