"""A small server that speaks TensorFlow Serving's two interfaces.

    python examples/serving/local_server.py --models saved_models

For trying a client where the model server itself is not to be had: gRPC
`PredictionService/Predict`, and REST `GET
/v1/models/NAME` and `POST /v1/models/NAME:predict` in the column form
(`inputs`) and the row form (`instances`, that of KServe's V1 too). One process,
no batching, no versions. Each folder of --models with a `saved_model.pb` is a
model: load none that you do not trust, see docs/safety.md. Requests are
limited in size, in time and in number, see `rest.py`. Needs `pip install
"stm-keras[serving]"`.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import rest  # beside this file
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
)


class Models:
    """Loaded SavedModels by name.

    Args:
        folder: of model directories.
    """

    def __init__(self, folder: Path) -> None:
        found = sorted(path.parent for path in folder.glob("*/saved_model.pb"))
        self.by_name = {p.name: tf.saved_model.load(str(p)) for p in found}

    def predict(
        self, name: str, signature: str, inputs: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """Answer one request.

        Raises:
            LookupError: for an unknown model or signature.
            ValueError: for inputs that the model refuses.
        """
        if name not in self.by_name:
            raise LookupError(f"no model {name!r}")
        signatures = self.by_name[name].signatures
        signature = signature or "serving_default"
        if signature not in signatures:
            raise LookupError(f"{name} has no signature {signature!r}")
        try:
            tensors = {
                key: tf.constant(value, tf.float32)
                for key, value in inputs.items()
            }
            outputs = signatures[signature](**tensors)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise ValueError(str(error)) from error
        return {key: value.numpy() for key, value in outputs.items()}


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    """gRPC `PredictionService`, its method Predict."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's)
        """Answer one request."""
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        spec = request.model_spec
        try:
            outputs = self.models.predict(
                spec.name, spec.signature_name, inputs
            )
        except LookupError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("saved_models"))
    parser.add_argument("--grpc-port", type=int, default=8500)
    parser.add_argument("--rest-port", type=int, default=8501)
    options = parser.parse_args()
    models = Models(options.models)
    server = grpc.server(
        ThreadPoolExecutor(2),
        options=[("grpc.max_receive_message_length", rest.MOST_BODY_BYTES)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Prediction(models), server
    )
    server.add_insecure_port(f"localhost:{options.grpc_port}")
    server.start()
    rest.serve(models, options.rest_port)
    print(f"ready: {', '.join(models.by_name)}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
