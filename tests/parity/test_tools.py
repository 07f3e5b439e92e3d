"""Every tool that loads our SavedModels gives what Keras gives."""

import pytest

from benchmarks.parity.reference import difference, inputs_of, keras_answer
from benchmarks.parity.roster import TOOLS
from benchmarks.parity.tool import ROOT

MODELS = ("wang2020", "context")
PROBABILITY, POSITION_PX = 1e-4, 0.01


@pytest.fixture(scope="module")
def answers():
    """What Keras says, once for each model and signature."""
    known = {}

    def answer(model, signature):
        if (model, signature) not in known:
            inputs = inputs_of(model)
            keras = keras_answer(model, signature, inputs)
            known[model, signature] = inputs, keras
        return known[model, signature]

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_it_gives_what_keras_gives(tool, name, answers, tmp_path):
    missing = tool.missing()
    if missing is not None:
        pytest.skip(missing)
    model = ROOT / "saved_models" / name
    inputs, keras = answers(model, tool.signature)
    if tool.signature == "locate":
        assert keras["count"][0] > 3
    with tool.open(model, tmp_path) as ask:
        found = ask(inputs)
    apart = difference(found, keras, float(inputs["pixel_nm"][0]))
    assert apart.probability < PROBABILITY
    assert apart.position_px < POSITION_PX


@pytest.mark.slow
def test_a_difference_is_seen(answers):
    """The comparison itself: another map is another answer."""
    model = ROOT / "saved_models" / "wang2020"
    inputs, keras = answers(model, "locate")
    other = inputs | {"maps": inputs["maps"][..., ::-1].copy()}
    found = keras_answer(model, "locate", other)
    apart = difference(found, keras, float(inputs["pixel_nm"][0]))
    assert apart.position_px > 0.5
