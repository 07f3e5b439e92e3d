"""A SavedModel behind KServe's own server; it needs nothing of this package.

    out/parity/kserve/bin/python benchmarks/parity/kserve_server.py \
        saved_models/context --http_port=8080

`POST /v1/models/context:predict` takes rows: `{"signature_name": "locate",
"instances": [{"maps": [V, H, W], "pixel_nm": x, "ring_per_nm": [V]}]}`, and
gives `{"predictions": [...]}`. Its environment: see `environments`.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

kserve: Any = importlib.import_module("kserve")


class Finder(kserve.Model):
    """A SavedModel of this project.

    Args:
        folder: of the SavedModel.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.name)
        self.signatures = tf.saved_model.load(str(folder)).signatures
        self.ready = True

    def predict(self, payload: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Answer one request of KServe's form V1.

        Raises:
            InvalidInput: for what the model refuses.
        """
        rows = payload["instances"]
        name = payload.get("signature_name", "serving_default")
        try:
            inputs = {
                key: tf.constant(np.array([r[key] for r in rows], np.float32))
                for key in rows[0]
            }
            found = self.signatures[name](**inputs)
        except (LookupError, TypeError, ValueError, tf.errors.OpError) as error:
            raise kserve.errors.InvalidInput(str(error)) from error
        named = {key: value.numpy().tolist() for key, value in found.items()}
        frames = range(len(rows))
        answers = [{k: v[i] for k, v in named.items()} for i in frames]
        return {"predictions": answers}


def main() -> None:
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("model", type=Path)
    options, _ = parser.parse_known_args()
    server = kserve.ModelServer(
        http_port=options.http_port, enable_grpc=False, workers=1
    )
    server.start([Finder(options.model)])


if __name__ == "__main__":
    main()
