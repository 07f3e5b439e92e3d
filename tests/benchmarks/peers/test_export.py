import numpy as np
import pytest

from stm_keras.analysis.baselines import rms_map
from stm_keras.simulation.friedel import FriedelConfig
from stm_keras.studies.bench.cases import CaseId, Role


@pytest.fixture
def drawn(monkeypatch):
    """All seeds that cases are drawn from, as they are drawn."""
    seeds = []
    of_numpy = np.random.default_rng

    def spy(seed):
        seeds.append(tuple(seed))
        return of_numpy(seed)

    monkeypatch.setattr(np.random, "default_rng", spy)
    return seeds


def fake_experiment(config, rng):
    """In place of a simulation that takes seconds: the seed is the point."""
    from types import SimpleNamespace

    return SimpleNamespace(
        maps=rng.normal(size=(126, 8, 8)).astype(np.float32),
        wave_numbers=np.linspace(0.5, 0.9, 126),
        positions=np.zeros((1, 2)),
    )


@pytest.mark.parametrize("name", ["eq3", "virtual"])
def test_no_seed_of_training_is_one_of_tuning_or_test(
    name, peers, drawn, monkeypatch
):
    monkeypatch.setattr(
        "stm_keras.studies.bench.simulated.simulate_virtual", fake_experiment
    )
    suites = peers("export")
    suite, numbers, seeds = suites.PEER_SUITES[name], range(12), (0, 1)
    for seed in seeds:
        for number in numbers:
            suite.train(seed, number)
    training = set(drawn)
    assert len(training) == len(drawn), "two fields of one seed"
    drawn.clear()
    for cell in suite.cells():
        for role in Role:
            for seed in seeds:
                for number in numbers:
                    cell.make(CaseId(role, seed, number))
    assert len(set(drawn)) >= len(seeds) * len(numbers) * len(Role)
    assert training.isdisjoint(drawn)


def test_training_fields_hold_maps_and_truth(peers, export_folder):
    fields = peers("peer_files").load_stacks(export_folder / "training.npz")
    assert fields.maps.shape == (12, 8, 32, 32)
    assert fields.maps.dtype == np.float32
    assert fields.rms.shape == (12, 32, 32)
    counts = [len(p) for p in fields.positions]
    assert len(counts) == 12
    assert min(counts) >= 1
    assert max(counts) <= 8
    assert len(set(fields.digests)) == 12
    np.testing.assert_allclose(fields.rms[3], rms_map(fields.maps[3]), 1e-5)


def test_a_peer_is_shown_the_benchs_stacks_and_not_their_truth(
    peers, export_folder
):
    suites, files = peers("export"), peers("peer_files")
    for cell in suites.PEER_SUITES["eq3"].cells():
        for role, made in ((Role.TUNE, cell.tune(5, 2)), (Role.TEST, None)):
            made = made or cell.test(5, 3)
            path = export_folder / "stacks" / suites.stack_file(cell, role)
            stacks = files.load_stacks(path)
            np.testing.assert_array_equal(stacks.maps, [c.maps for c in made])
            assert [len(p) for p in stacks.positions] == [0] * len(made)


def test_training_noise_covers_all_cells(peers):
    suites = peers("export")
    sigmas = [suites.eq3_training(0, i).sigma for i in range(40)]
    assert min(sigmas) < 0.2
    assert max(sigmas) > 0.8


def test_virtual_cells_have_one_number_of_maps(peers):
    suites = peers("export")
    names = [cell.name for cell in suites.PEER_SUITES["virtual"].cells()]
    assert len(names) == 9
    assert all(name.endswith(", 16 maps") for name in names)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--suite", "real"], "unknown suite"),
        (["--seed", "10000"], "--seed"),
        (["--maps", "0"], "--maps 0"),
        (["--fields", "9"], "--fields 9"),
    ],
)
def test_a_mistake_is_said_in_a_line(given, said, peers, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        peers("export").main([*given, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_paper_fields_are_the_benchs(peers):
    """Only the number of impurities and the noise differ from the suite's."""
    suites = peers("export")
    assert isinstance(suites.FIELDS, FriedelConfig)
    field = suites.eq3_training(0, 0)
    assert field.maps.shape == (8, 32, 32)
    assert field.given_decay == 2.0
