from pathlib import Path

import pytest

from stm_keras.errors import InputError

_FROM_X = {"init": Path("x"), "network": {}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 150}, "multiple of 100"),
        ({"steps": -100}, "multiple of 100"),
        ({"steps": 0}, "Without a step there is no network"),
        (
            {
                **_FROM_X,
                "steps": 0,
                "alpha": 0.03,
                "experiment": (Path("scan.npz"),),
            },
            "nothing is fine-tuned",
        ),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"alpha": 0.03}, "there is none"),
        ({"network": {"filters": 0}}, "filters"),
        ({"init": Path("x"), "network": {"filters": 8}}, "those of x: leave"),
        ({"added_blocks": (1, 2)}, "give `init`"),
        ({**_FROM_X, "added_blocks": (1, 0)}, "must be >= 1. Received: 1, 0"),
        ({**_FROM_X, "added_blocks": (1,), "steps": 0}, "have to be trained"),
        (
            {
                **_FROM_X,
                "added_blocks": (1,),
                "alpha": 0.03,
                "experiment": (Path("scan.npz"),),
            },
            "no experiment",
        ),
    ],
)
def test_bad_options(context_config, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        context_config(tmp_path / "model", **changes)
    assert not (tmp_path / "model").exists()
