"""Environments of tools that do not go beside what this package needs.

`kserve` pins other versions of common packages, and `tensorflowjs` needs a
TensorFlow of its own. Each gets a folder, `out/parity/NAME` of the project, or
`NAME` in the folder that STM_PARITY names. From the project's folder:

    python -m venv out/parity/kserve
    out/parity/kserve/bin/pip install kserve==0.21.0 tensorflow==2.21.0

    python -m venv out/parity/tfjs
    out/parity/tfjs/bin/pip install tensorflowjs==4.22.0 ydf==0.12.0
    npm install --prefix out/parity/tfjs \
        @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0

TensorFlow.js runs in `node` and in `chromium`, which the system brings
(`apt-get install nodejs npm chromium`).
"""

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A Python environment, and node's modules beside it.

    Attributes:
        name: of its folder.
    """

    name: str
    about = "benchmarks/parity/environments.py"

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        home = os.environ.get("STM_PARITY")
        return (Path(home) if home else _ROOT / "out/parity") / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"

    @property
    def modules(self) -> Path:
        """Its JavaScript."""
        return self.folder / "node_modules"

    def version(self, package: str) -> str | None:
        """Of a package of it; None where it is not installed."""
        places = [str(p) for p in self.folder.glob("lib/python*/site-packages")]
        for found in metadata.distributions(name=package, path=places):
            return found.version
        return None
