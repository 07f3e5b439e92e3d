"""Every tool that loads our SavedModels gives what Keras gives."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("wang2020", "context")
PROBABILITY, POSITION_PX = 1e-4, 0.01


def _script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


parity = _script(ROOT / "benchmarks/parity.py")


@pytest.fixture(scope="module")
def answers():
    """What Keras says, once for each model and signature."""
    known = {}

    def answer(model, signature):
        if (model, signature) not in known:
            inputs = parity.inputs_of(model)
            keras = parity.keras_answer(model, signature, inputs)
            known[model, signature] = inputs, keras
        return known[model, signature]

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tool", parity.TOOLS, ids=lambda tool: tool.name)
def test_it_gives_what_keras_gives(tool, name, answers, tmp_path):
    if parity.version(tool) is None:
        pytest.skip(f"{tool.package} is not installed: the extra `parity`")
    model = ROOT / "saved_models" / name
    inputs, keras = answers(model, tool.signature)
    if tool.signature == "locate":
        assert keras["count"][0] > 3
    with tool.open(model, tmp_path) as ask:
        found = ask(inputs)
    apart = parity.difference(found, keras, float(inputs["pixel_nm"][0]))
    assert apart.probability < PROBABILITY
    assert apart.position_px < POSITION_PX


@pytest.mark.slow
def test_a_difference_is_seen(answers):
    """The comparison itself: another map is another answer."""
    model = ROOT / "saved_models" / "wang2020"
    inputs, keras = answers(model, "locate")
    other = inputs | {"maps": inputs["maps"][..., ::-1].copy()}
    found = parity.keras_answer(model, "locate", other)
    apart = parity.difference(found, keras, float(inputs["pixel_nm"][0]))
    assert apart.position_px > 0.5
