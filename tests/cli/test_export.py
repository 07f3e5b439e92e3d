"""`stmk prepare` and `stmk export`: models and files for other programs."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.models.export import export_model, export_tflite


def tensors(folder):
    names = (path.stem for path in folder.glob("*.npy"))
    return {name: np.load(folder / f"{name}.npy") for name in names}


def test_what_is_prepared_is_what_predict_finds(
    stmk, virtual_scan, model, tmp_path
):
    """A file, its tensors, the SavedModel: the positions of `stmk predict`."""
    told = ("--model", model, "--surface", "au111")
    code, out, error = stmk("prepare", virtual_scan, *told, "--out", "tensors")
    assert code == 0, error
    assert out.strip() == "tensors"
    inputs = tensors(tmp_path / "tensors")
    assert set(inputs) == {"maps", "pixel_nm"}
    assert inputs["maps"].shape[:2] == (1, 8)
    code, _, error = stmk("predict", virtual_scan, *told, "--out", "found")
    assert code == 0, error
    listed = json.loads((tmp_path / "found/positions.json").read_text())
    module = tf.saved_model.load(str(model))
    found = module.signatures["locate"](
        **{name: tf.constant(values) for name, values in inputs.items()}
    )
    count = int(found["count"][0])
    assert count == len(listed["positions"])
    expected = [[p["y_nm"], p["x_nm"]] for p in listed["positions"]]
    np.testing.assert_allclose(
        np.reshape(found["positions_nm"][0, :count], (-1, 2)),
        np.reshape(expected, (-1, 2)),
        atol=0.01,
    )
    frame = json.loads((tmp_path / "tensors/frame.json").read_text())
    assert frame["origin_px"] == [0, 0]
    request = json.loads((tmp_path / "tensors/inputs.json").read_text())
    assert request["signature_name"] == "locate"
    np.testing.assert_allclose(
        request["inputs"]["maps"], inputs["maps"], rtol=1e-6
    )


def test_what_else_is_in_the_folder_stays(stmk, virtual_scan, model, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(virtual_scan, folder)
    (folder / "thesis.txt").write_text("all of it")
    told = ("--model", model, "--surface", "au111", "--out")
    assert stmk("prepare", folder / virtual_scan.name, *told, folder)[0] == 0
    (folder / "ring_per_nm.npy").write_text("of another model")
    assert stmk("prepare", folder / virtual_scan.name, *told, folder)[0] == 0
    assert {p.name for p in folder.iterdir()} == {
        *("maps.npy", "pixel_nm.npy", "inputs.json", "frame.json"),
        *(virtual_scan.name, "thesis.txt"),
    }


def test_oblong_pixels_are_told_and_mended(stmk, model, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "oblong.npz",
        maps=rng.normal(size=(4, 160, 160)),
        bias_v=[0.05, 0.1, 0.15, 0.2],
        extent_nm=[40.0, 39.28],
    )
    code, out, error = stmk(
        *("prepare", "oblong.npz", "--surface", "cu111"),
        *("--model", model, "--out", "tensors"),
    )
    assert code == 0
    assert out.strip() == "tensors"
    assert "nm off; make them of positions_px" in error
    frame = json.loads((tmp_path / "tensors/frame.json").read_text())
    assert error.strip() in frame["provenance"]
    maps = np.load(tmp_path / "tensors/maps.npy")
    corner = np.array(maps.shape[2:]) - 0.5  # of the frame, in px of the maps
    in_file = (corner + 0.5) * frame["file_px_per_px"] - 0.5
    in_nm = (in_file + 0.5) * frame["file_pixel_nm"]
    np.testing.assert_allclose(in_nm, [40.0, 39.28], rtol=1e-6)


def test_a_frame_too_small_for_the_model_is_refused(stmk, model, tmp_path):
    np.savez(
        tmp_path / "small.npz",
        maps=np.random.default_rng(0).normal(size=(1, 40, 40)),
        bias_v=[0.1],
        extent_nm=[0.8, 0.8],
    )
    code, _, error = stmk(
        *("prepare", "small.npz", "--surface", "cu111"),
        *("--model", model, "--out", "tensors"),
    )
    assert code == 2
    assert "give a larger frame" in error
    assert not (tmp_path / "tensors").exists()


def test_one_flipped_byte_is_told(stmk, model, tmp_path):
    shutil.copytree(model, tmp_path / "mine")
    path = tmp_path / "mine/model.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    code, _, error = stmk("export", "--model", "mine")
    assert code == 2
    assert "SHA256SUMS (changed: model.keras)" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "none.sxm", "--out", "o"), "none.sxm"),
        (("prepare", "{scan}", "--model", "none", "--out", "o"), "none"),
        (("export", "--model", "none"), "No such model: none"),
        (("export", "--model", "{model}", "--format", "onnx"), "'onnx'"),
        (
            ("export", "--model", "{model}", "--in-place", "--out", "o"),
            "leave --out",
        ),
        (
            ("export", "--model", "{model}", "--out", "{model}"),
            "is the model itself",
        ),
    ],
)
def test_bad_input(stmk, virtual_scan, model, tmp_path, arguments, message):
    filled = [str(a).format(scan=virtual_scan, model=model) for a in arguments]
    code, _, error = stmk(*filled)
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "o").exists()


def test_a_model_without_its_weights(stmk, model, tmp_path):
    shutil.copytree(model, tmp_path / "mine")
    (tmp_path / "mine/model.keras").unlink()
    code, _, error = stmk("export", "--model", "mine")
    assert code == 2
    assert "holds no model.keras" in error
    (tmp_path / "mine/model.keras").write_bytes(b"nothing")
    code, _, error = stmk("export", "--model", "mine")
    assert code == 2
    assert "is damaged" in error
    assert not (tmp_path / "out").exists()


def test_in_place_the_model_is_as_good_as_new(stmk, model, tmp_path):
    shutil.copytree(model, tmp_path / "mine")
    before = (tmp_path / "mine/model_card.json").read_text()
    code, out, error = stmk("export", "--model", "mine", "--in-place")
    assert code == 0, error
    assert out.strip() == "mine"
    assert (tmp_path / "mine/model_card.json").read_text() == before
    assert not list((tmp_path / "mine").glob(".export*"))
    maps = np.random.default_rng(0).normal(size=(1, 2, 20, 20))
    inputs = {
        "maps": tf.constant(maps, tf.float32),
        "pixel_nm": tf.constant([0.4]),
    }
    old, new = (
        tf.saved_model.load(str(path)).signatures["serving_default"](**inputs)
        for path in (model, tmp_path / "mine")
    )
    np.testing.assert_allclose(old["score"], new["score"], rtol=1e-5)


@pytest.mark.slow
def test_tflite_of_every_precision(model, tmp_path):
    written = export_model(model, tmp_path / "out")
    assert [path.name for path in written] == [
        "saved_model",
        "little-float32.tflite",
        "little-float16.tflite",
        "little-int8.tflite",
    ]
    maps = np.random.default_rng(0).normal(size=(1, 3, 26, 20))
    maps = maps.astype(np.float32)
    served = tf.saved_model.load(str(written[0])).signatures["serving_default"]
    pixel = tf.constant([0.4])
    score = served(maps=tf.constant(maps), pixel_nm=pixel)["score"].numpy()
    for path, tolerance in zip(written[1:], (1e-4, 0.02, 0.2), strict=True):
        interpreter = tf.lite.Interpreter(str(path))
        runner = interpreter.get_signature_runner("serving_default")
        answer = runner(maps=maps, pixel_nm=pixel.numpy())["score"]
        error = np.abs(answer - score).max() / score.std()
        assert error < tolerance
    # They are three files, not one: of few weights the sizes tell nothing.
    assert len({path.read_bytes() for path in written[1:]}) == 3


def test_unknown_precision(tmp_path):
    from stm_keras.errors import InputError

    with pytest.raises(InputError, match="Unknown precision 'int4'"):
        export_tflite(tmp_path, tmp_path / "x.tflite", "int4")


_EXPORT = """
import sys
from stm_keras.models.export import export_model
export_model(sys.argv[1], sys.argv[2], "saved-model")
"""


@pytest.mark.slow
def test_the_same_weights_give_the_same_bytes(model, tmp_path):
    """But for the fingerprint, to which TensorFlow adds a random number."""
    contents = []
    for name in ("one", "other"):
        out = tmp_path / name
        subprocess.run(
            [sys.executable, "-c", _EXPORT, str(model), str(out)],
            check=True,
            capture_output=True,
        )
        files = sorted(p for p in out.rglob("*") if p.is_file())
        contents.append({p.relative_to(out): p.read_bytes() for p in files})
    one, other = contents
    assert set(one) == set(other)
    differ = {path.name for path in one if one[path] != other[path]}
    assert differ <= {"fingerprint.pb"}
