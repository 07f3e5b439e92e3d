"""The folders that TensorFlow Serving expects: NAME/VERSION/saved_model.pb.

    python examples/serving/layout.py served

Exports both models of `saved_models/` with a warm-up request in
`assets.extra`, which the server replays before it says that it is ready.
"""

import argparse
import shutil
from pathlib import Path

from stm_keras.models.export import SAVED_MODEL, export_model, write_warmup

MODELS = Path(__file__).parents[2] / "saved_models"
VERSION = "1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    for name in ("context", "wang2020"):
        export_model(MODELS / name, out / name, "saved-model")
        served = out / name / VERSION
        if served.exists():
            shutil.rmtree(served)
        (out / name / SAVED_MODEL).rename(served)
        write_warmup(served)
        print(served)


if __name__ == "__main__":
    main()
