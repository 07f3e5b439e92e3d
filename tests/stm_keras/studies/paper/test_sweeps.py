import json
from dataclasses import replace

import pytest

from stm_keras.errors import InputError
from stm_keras.studies.paper.run import DONE, RUNS
from stm_keras.studies.paper.settings import ExperimentSettings
from stm_keras.studies.paper.sweeps import (
    SWEEPS,
    draw_sweep,
    run_sweep,
    sweep_jobs,
    sweep_table,
)
from stm_keras.studies.tables import read_rows, write_rows

SIZE = {"seeds": 2, "epochs": 2, "steps": 3}


def jobs_of(over):
    return sweep_jobs(over, experiment=ExperimentSettings(), **SIZE)


@pytest.mark.parametrize("over", SWEEPS)
def test_only_what_is_swept_changes(over):
    jobs = jobs_of(over)
    assert len(jobs) == len(SWEEPS[over].values) * len(SWEEPS[over].arms) * 2
    for arm in SWEEPS[over].arms:
        for seed in range(2):
            mine = [
                s.as_dict()
                for s, front in jobs.values()
                if (front["arm"], front["seed"]) == (arm, seed)
            ]
            flat = [d | d.pop("experiment") | {"seed": seed} for d in mine]
            varying = {
                name
                for name in flat[0]
                if len({json.dumps(f[name]) for f in flat}) > 1
            }
            assert len(varying) == 1, varying


def test_runs_that_differ_have_names_that_differ():
    by_name = {}
    for over in SWEEPS:
        for (name, _), (settings, _) in jobs_of(over).items():
            assert by_name.setdefault(name, settings) == settings


def test_an_unknown_sweep_is_refused():
    with pytest.raises(InputError, match="Known: difficulty, alpha"):
        jobs_of("temperature")


def fake_points(value):
    names = "hit_ratio_em jaccard_truth precision_truth entropy false_share"
    return [
        {"set": "shown", "epoch": epoch}
        | dict.fromkeys(names.split(), value + 0.01 * epoch)
        for epoch in (1, 2, 3)
    ]


@pytest.fixture
def study(tmp_path):
    """A finished study that has every training of the sweep, and longer."""
    for i, (settings, _) in enumerate(jobs_of("alpha").values()):
        folder = tmp_path / "study" / RUNS / f"run-{i}"
        folder.mkdir(parents=True)
        stored = replace(settings, epochs=3).as_dict()
        (folder / DONE).write_text(json.dumps({"settings": stored}))
        write_rows(folder / "points.csv", fake_points(0.1 * (i % 6)))
    return tmp_path / "study"


def test_longer_trainings_of_a_study_are_used_at_the_epoch(study, tmp_path):
    picture, table, page = run_sweep(
        "alpha", tmp_path / "out", study=study, **SIZE
    )
    rows = read_rows(table)
    assert {row["epoch"] for row in rows} == {2}
    assert len(rows) == len(SWEEPS["alpha"].values) * 2 * 2
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "| confidence | 0.0 |" in page.read_text()
    assert not any((tmp_path / "out").glob(f"{RUNS}/*"))


def test_the_table_has_a_line_an_arm_and_value(tmp_path):
    rows = [
        front | row
        for _, front in jobs_of("core").values()
        for row in fake_points(0.3)
    ]
    lines = sweep_table(rows).splitlines()
    assert len(lines) == 2 + 2 * len(SWEEPS["core"].values)
    assert "| noise | none | 0.330 [0.330, 0.330] |" in lines[2]
    draw_sweep(tmp_path / "core.png", rows)
    assert (tmp_path / "core.png").stat().st_size > 1000
