"""A model is a program: one that could do more than compute is not loaded."""

import functools
import shutil
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.detector import load_detector
from stm_keras.errors import InputError
from stm_keras.models.card import SUMS_NAME, write_checksums
from stm_keras.models.export import load_weights
from stm_keras.models.shipped import shipped_models
from stm_keras.models.trust import check_graph, check_trusted


def written(path):
    tf.io.write_file(str(path), "was here")


def printed(path):
    tf.print("was here", output_stream=f"file://{path}")


def by_python(path):
    tf.numpy_function(lambda: path.write_text("was here"), [], tf.int64)


def saved(path):
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=["was"],
        shape_and_slices=[""],
        tensors=[tf.constant(0.0)],
    )


def read(path):
    tf.io.read_file("/etc/hostname")
    written(path)


def hidden_in_a_branch(path):
    def yes():
        written(path)
        return tf.constant(1)

    tf.cond(tf.random.uniform([]) >= 0, yes, lambda: tf.constant(0))


ATTACKS = {
    written: "WriteFile",
    printed: "PrintV2",
    by_python: "PyFunc",
    saved: "SaveV2",
    read: "ReadFile",
    hidden_in_a_branch: "WriteFile",
}


def as_signature(attack, path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, None])])
    def maps(maps):
        attack(path)
        return {"score": maps}

    return module, {"serving_default": maps, "locate": maps}


def at_load(attack, path):
    """TensorFlow runs what makes a resource while it loads a model."""
    from tensorflow.python.trackable.resource import CapturableResource

    class Resource(CapturableResource):
        def _create_resource(self):
            attack(path)
            return tf.constant(0, tf.int64)

        def _initialize(self):
            pass

    module, signatures = as_signature(lambda path: None, path)
    module.resource = Resource()

    @tf.function(input_signature=[])
    def ask():
        return tf.cast(module.resource.resource_handle, tf.int64)

    module.ask = ask
    return module, signatures


@pytest.fixture
def with_graph(model, tmp_path):
    """A model directory with another graph, under whole checksums."""

    def make(built):
        module, signatures = built
        directory = tmp_path / "mine"
        shutil.copytree(model, directory)
        for name in ("variables", "assets"):
            shutil.rmtree(directory / name)
        tf.saved_model.save(module, str(directory), signatures=signatures)
        write_checksums(directory)
        return directory

    return make


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.__name__)
@pytest.mark.parametrize("where", [as_signature, at_load])
def test_a_graph_that_does_more_than_compute(
    with_graph, tmp_path, attack, where
):
    """`stmk predict --model` used to run it."""
    mark = tmp_path / "mark"
    try:
        built = where(attack, mark)
        directory = with_graph(built)
    except (NotImplementedError, ValueError, TypeError, AssertionError) as e:
        pytest.skip(f"TensorFlow does not save it: {type(e).__name__}")
    for left in tmp_path.glob("mark*"):  # of the making
        left.unlink()
    with pytest.raises(InputError, match=ATTACKS[attack]) as refused:
        load_detector(directory)
    assert "--trust-model" in str(refused.value)
    assert not list(tmp_path.glob("mark*"))


def test_trusted_it_runs(with_graph, tmp_path):
    """So the attacks above are attacks."""
    mark = tmp_path / "mark"
    directory = with_graph(as_signature(functools.partial(written), mark))
    # It lacks signatures of ours, of which the first is asked before.
    with pytest.raises(InputError, match="damaged"):
        load_detector(directory, trust=True)
    module = tf.saved_model.load(str(directory))
    module.signatures["serving_default"](tf.zeros([1, 1, 2, 2]))
    assert mark.exists()


def test_a_saver_called_by_a_signature(model, tmp_path):
    """It may write, as it writes checkpoints, but nobody may call it."""
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    path = directory / "saved_model.pb"
    stored = SavedModel.FromString(path.read_bytes())
    graph = stored.meta_graphs[0]
    functions = graph.graph_def.library.function
    (saver,) = (
        f.signature.name
        for f in functions
        if f.signature.name.startswith("__inference__traced_save_")
    )
    node = next(
        f for f in functions if f.signature.name != saver
    ).node_def.add()
    node.name, node.op = "innocent", "StatefulPartitionedCall"
    node.attr["f"].func.name = saver
    path.write_bytes(stored.SerializeToString())
    with pytest.raises(InputError, match=r"_traced_save_.* called"):
        check_graph(directory)


def test_a_function_by_a_savers_name(model, tmp_path):
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    path = directory / "saved_model.pb"
    stored = SavedModel.FromString(path.read_bytes())
    function = stored.meta_graphs[0].graph_def.library.function.add()
    function.signature.name = "__inference__traced_restore_1"
    node = function.node_def.add()
    node.name, node.op = "innocent", "WriteFile"
    path.write_bytes(stored.SerializeToString())
    with pytest.raises(InputError, match="WriteFile"):
        check_graph(directory)


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_another_graph_beside_it(model, tmp_path, name):
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    (directory / name).touch()
    (directory / SUMS_NAME).unlink()
    with pytest.raises(InputError, match=name):
        load_detector(directory)


@pytest.mark.parametrize(
    "changed",
    ["saved_model.pb", "variables/variables.index", "model_card.json"],
)
def test_a_model_that_differs_from_its_checksums(model, tmp_path, changed):
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    content = (directory / changed).read_bytes()
    (directory / changed).write_bytes(content + b"\n")
    with pytest.raises(InputError, match=f"changed: {changed}"):
        load_detector(directory)


def test_trusted_without_its_checksums_holding(model, tmp_path):
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    card = directory / "model_card.json"
    card.write_text(card.read_text() + "\n")
    assert load_detector(directory, trust=True).card.name


def test_a_note_beside_a_model_changes_nothing(model, tmp_path):
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    (directory / "notes.txt").write_text("mine")
    check_trusted(directory)


def test_weights_that_differ_are_not_loaded(model, tmp_path):
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    with (directory / "model.keras").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match=r"changed: model\.keras"):
        load_weights(directory)
    assert load_weights(directory, trust=True)


def test_code_in_a_keras_file_does_not_run(model, tmp_path):
    """Even under whole checksums, and for a model that is trusted."""
    directory = tmp_path / "mine"
    shutil.copytree(model, directory)
    mark = str(tmp_path / "mark")
    network = keras.Sequential(
        [
            keras.layers.Input([1]),
            keras.layers.Lambda(
                lambda x, mark=mark: (open(mark, "w").close(), x)[1]  # noqa: PTH123
            ),
        ]
    )
    Path(mark).unlink(missing_ok=True)
    network.save(directory / "model.keras")
    write_checksums(directory)
    for trust in (False, True):
        with pytest.raises(InputError, match=r"model\.keras"):
            load_weights(directory, trust=trust)
    assert not Path(mark).exists()


@pytest.mark.parametrize("name", ["context", "wang2020"])
def test_what_ships_is_not_refused(name):
    directory = shipped_models()[name]
    check_trusted(directory)
