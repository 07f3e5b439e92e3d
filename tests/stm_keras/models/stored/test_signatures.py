from pathlib import Path

import pytest

from stm_keras.errors import InputError
from stm_keras.models.description import read_signatures

MODEL = Path(__file__).parents[4] / "saved_models/wang2020"


def test_signatures_are_those_that_serve():
    """As `export_saved_model` says of the paper's network."""
    signatures = read_signatures(MODEL)
    maps, score = "maps float32 [?,?,?,?]", "score float32 [?,?,?]"
    pixel, probability = "pixel_nm float32 [?]", "probability float32 [?,?,?]"
    assert set(signatures) == {
        "attention",
        "locate",
        "score_tiles",
        "serving_default",
        "standardize",
    }
    assert signatures["score_tiles"] == ((maps,), (score,))
    assert signatures["standardize"] == ((maps,), (maps,))
    served = (maps, pixel), (probability, score)
    assert signatures["serving_default"] == served


def test_several_tensors_are_sorted(tmp_path):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    signature = saved.meta_graphs.add().signature_def["answer"]
    for name, sizes in (("ring", (-1, 3)), ("maps", ())):
        info = signature.inputs[name]
        info.dtype = 2  # DT_DOUBLE
        for size in sizes:
            info.tensor_shape.dim.add().size = size
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    (answer,) = read_signatures(tmp_path).values()
    assert answer.inputs == ("maps float64 []", "ring float64 [?,3]")
    assert answer.outputs == ()


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"nonsense"])
def test_damaged_graph(tmp_path, content):
    with pytest.raises(InputError, match=r"Cannot read .*saved_model\.pb"):
        read_signatures(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(InputError, match=r"saved_model\.pb is damaged"):
        read_signatures(tmp_path)
