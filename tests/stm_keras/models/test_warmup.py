"""The record of requests that TensorFlow Serving replays when it starts."""

import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.models.card import write_card
from stm_keras.models.export import (
    FOLDER,
    NAME,
    WARMED_UP,
    export_model,
    write_warmup,
)


@pytest.fixture
def logs():
    """The messages that the record is made of."""
    return pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not installed: the extra `serving`",
    )


def requests_of(path, logs):
    for record in tf.data.TFRecordDataset(str(path)):
        log = logs.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        yield log.predict_log.request


@pytest.mark.parametrize("kind", ["context", "score"])
def test_an_exported_model_answers_its_record(kind, logs, tmp_path, request):
    model, card = request.getfixturevalue(f"{kind}_model_and_card")
    stored = tmp_path / "model"
    stored.mkdir()
    model.save(stored / "model.keras")
    write_card(card, stored)
    (saved,) = export_model(stored, tmp_path / "out", "saved-model")
    signatures = tf.saved_model.load(str(saved)).signatures
    asked = []
    for message in requests_of(saved / FOLDER / NAME, logs):
        assert message.model_spec.name == "little"
        name = message.model_spec.signature_name
        inputs = {k: tf.make_ndarray(v) for k, v in message.inputs.items()}
        maps = inputs["maps"]
        assert maps.shape == (1, 4, 64, 64)
        assert maps.std() > 0
        answer = signatures[name](
            **{k: tf.constant(v) for k, v in inputs.items()}
        )
        assert set(answer) == set(signatures[name].structured_outputs)
        asked.append(name)
    assert tuple(asked) == WARMED_UP


def test_the_same_bytes_every_time(score_saved, logs, tmp_path):
    del logs
    contents = []
    for name in ("one", "other"):
        copy = tmp_path / name / "1"
        shutil.copytree(score_saved, copy)
        path = write_warmup(copy, "mine")
        assert path == copy / FOLDER / NAME
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_without_a_name_it_is_that_of_the_folder(score_saved, logs, tmp_path):
    copy = tmp_path / "served" / "1"
    shutil.copytree(score_saved, copy)
    for message in requests_of(write_warmup(copy), logs):
        assert message.model_spec.name == "served"
        for values in message.inputs.values():
            assert np.isfinite(tf.make_ndarray(values)).all()


def test_without_the_package_it_says_what_to_install(
    score_saved, tmp_path, monkeypatch
):
    messages = "tensorflow_serving.apis.prediction_log_pb2"
    monkeypatch.setitem(sys.modules, messages, None)
    copy = tmp_path / "copy"
    shutil.copytree(score_saved, copy)
    with pytest.raises(InputError, match=r"stm-keras\[serving\]"):
        write_warmup(copy)
    assert not (copy / FOLDER).exists()
