import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.analysis.peaks import find_peaks
from stm_keras.nn.decoding import find_detections
from stm_keras.scoring import standardised

CONTEXT = ("maps", "ring_per_nm", "pixel_nm")
SCORE = ("maps", "pixel_nm")


def ask(path, signature, inputs):
    module = tf.saved_model.load(str(path))
    tensors = {k: tf.constant(v) for k, v in inputs.items()}
    named = module.signatures[signature](**tensors)
    return {k: v.numpy() for k, v in named.items()}


def of(stack, names):
    return {name: stack[name] for name in names}


def in_order(positions):
    """Of rows and columns, whatever the rounding."""
    return np.lexsort(np.round(positions, 1).T)


def expected_output(model, stack):
    ring = stack["ring_per_nm"] * stack["pixel_nm"][:, None]
    return np.array(model(stack["maps"], ring))


def test_context_gives_what_keras_gives(context_model, context_saved, stack):
    served = ask(context_saved, "serving_default", of(stack, CONTEXT))
    output = expected_output(context_model, stack)
    seen = np.isfinite(stack["maps"]).any(axis=1)
    np.testing.assert_allclose(
        served["score"][seen], output[..., 0][seen], atol=1e-3, rtol=1e-4
    )
    assert np.isnan(served["score"][~seen]).all()
    assert not served["probability"][~seen].any()
    for name, part in (("offset", slice(1, 3)), ("deviation", slice(3, 5))):
        np.testing.assert_allclose(served[name], output[..., part], atol=1e-4)


def test_context_locates_what_the_package_finds(
    context_model, context_saved, stack
):
    found = ask(context_saved, "locate", of(stack, CONTEXT))
    output = expected_output(context_model, stack)
    output[0, 4:6, :, 0] = -np.inf
    for index, pixel_nm in enumerate(stack["pixel_nm"]):
        expected = find_detections(output[index], 0.3)
        count = found["count"][index]
        assert count == len(expected.positions) > 0
        place = found["positions_px"][index, :count]
        # In 32 bits some that are all but certain are equally so.
        here, there = in_order(place), in_order(expected.positions)
        for name, others, tolerance in (
            ("positions_px", expected.positions, 1e-2),
            ("probability", expected.probabilities, 1e-4),
            ("positions_nm", (expected.positions + 0.5) * pixel_nm, 3e-3),
            ("deviations_nm", expected.deviations * pixel_nm, 1e-3),
        ):
            np.testing.assert_allclose(
                found[name][index, :count][here],
                others[there],
                atol=tolerance,
                err_msg=name,
            )


def test_the_papers_network_locates_what_the_package_finds(
    score_model, score_saved, stack
):
    found = ask(score_saved, "locate", of(stack, SCORE))
    score = np.array(score_model(stack["maps"]))
    score[0, 4:6] = np.nan
    for index in range(2):
        # 3 maps: nearest, as a ratio, to 4.
        peaks = find_peaks(standardised(score[index]), threshold=1.5)
        count = found["count"][index]
        assert count == len(peaks.positions) > 0
        np.testing.assert_allclose(
            found["positions_px"][index, :count], peaks.positions, atol=1e-2
        )
        np.testing.assert_allclose(
            found["height"][index, :count], peaks.scores, atol=1e-4
        )


def test_probabilities_of_the_papers_network_sum_to_one(score_saved, stack):
    served = ask(score_saved, "serving_default", of(stack, SCORE))
    total = served["probability"].sum(axis=(1, 2))
    np.testing.assert_allclose(total, 1, rtol=1e-4)
    assert not served["probability"][0, 4:6].any()


@pytest.mark.parametrize(
    ("saved", "names"), [("context_saved", CONTEXT), ("score_saved", SCORE)]
)
def test_attention_gives_shares(saved, names, stack, request):
    path = request.getfixturevalue(saved)
    shares = ask(path, "attention", of(stack, names))
    assert shares["weights"].shape == (2, 3, 24, 20)
    total = shares["weights"].sum(axis=1)
    seen = np.isfinite(stack["maps"]).all(axis=1)
    np.testing.assert_allclose(total[seen], 1, rtol=1e-4)
    assert np.isnan(total[~seen]).all()
    np.testing.assert_allclose(
        shares["share"], np.nanmean(shares["weights"], axis=(2, 3)), rtol=1e-4
    )


def test_card_units_and_shapes_travel_along(context_saved):
    assets = context_saved / "assets"
    card = json.loads((assets / "model_card.json").read_text())
    assert card["name"] == "little"
    about = json.loads((assets / "signatures.json").read_text())
    assert set(about["signatures"]) == {
        "serving_default",
        "locate",
        "attention",
    }
    module = tf.saved_model.load(str(context_saved))
    for name, documented in about["signatures"].items():
        signature = module.signatures[name]
        _, inputs = signature.structured_input_signature
        assert set(documented["inputs"]) == set(inputs)
        assert set(documented["outputs"]) == set(signature.structured_outputs)
    assert about["limits"]["K"].startswith("512 ")
    assert about["limits"]["H, W"].startswith("16 px")


_ALONE = """
import sys
for name in ("stm_keras", "cli", "data_builders", "keras"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
found = module.signatures["locate"](
    **{k: tf.constant(v) for k, v in inputs.items()}
)
np.savez(sys.argv[3], **{k: v.numpy() for k, v in found.items()})
"""


def test_in_a_process_without_this_package(context_saved, stack, tmp_path):
    np.savez(tmp_path / "in.npz", **of(stack, CONTEXT))
    subprocess.run(
        [
            sys.executable,
            "-c",
            _ALONE,
            str(context_saved),
            str(tmp_path / "in.npz"),
            str(tmp_path / "out.npz"),
        ],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    here = ask(context_saved, "locate", of(stack, CONTEXT))
    there = np.load(tmp_path / "out.npz")
    assert set(there) == set(here)
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, atol=1e-5)
