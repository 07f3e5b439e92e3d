from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.detections import read_positions
from stm_keras.detector import Wang2020Detector, load_detector
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps, Region
from stm_keras.models.card import ModelCard, ScoreSelection
from stm_keras.preprocessing.cleaning import CleaningOptions
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.results.folder import FILES, write_result
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel
from stm_keras.surfaces import PAPER_PIXEL_NM, paper_wave_numbers

RING = tuple(2 * paper_wave_numbers()[[0, -1]])
RAW = CleaningOptions.at_level("none")
OPTIONS = PredictOptions("au111", RAW)


def detector(**changes):
    """Scores the mean over the maps: its maxima are where blobs are."""
    card: dict[str, Any] = {
        "name": "mean",
        "network": {},
        "command": "",
        "data": {},
        "training": {},
        "tile_px": 20,
        "reach_px": 3,
        "ring_rad_px": RING,
        "selection": ScoreSelection({1: 20.0, 2: 4.0}, {1: 0.0}),
        "scores": {},
        "made": {},
        "versions": {},
    }

    def signature(maps):
        measured = tf.where(tf.math.is_nan(maps), 0.0, maps)
        return {"score": tf.reduce_mean(measured, axis=1)}

    signatures = {
        "serving_default": signature,
        "score_tiles": signature,
        "standardize": lambda maps: {"maps": maps},
    }
    return Wang2020Detector(ModelCard(**(card | changes)), signatures)


def blobs(positions_nm, *, extent=(37.5, 37.5), shape=(160, 160), n_maps=2):
    """Bright spots of 0.7 nm at (y, x) [nm]."""
    y = (np.arange(shape[0]) + 0.5) * extent[0] / shape[0]
    x = (np.arange(shape[1]) + 0.5) * extent[1] / shape[1]
    image = sum(
        np.exp(-((y[:, None] - a) ** 2 + (x - b) ** 2) / (2 * 0.7**2))
        for a, b in positions_nm
    )
    bias = np.linspace(-0.23, 0.02, n_maps)
    return ConductanceMaps(np.stack([image] * n_maps), bias, extent)


def sorted_nm(positions):
    return np.array(
        sorted(positions.tolist(), key=lambda p: np.round(p, 0).tolist())
    )


TRUTH = np.array([[5.0, 7.0], [20.3, 30.1], [33.3, 12.25]])


@pytest.mark.parametrize("tiling", ["overlap", "paper"])
@pytest.mark.parametrize("shape", [(160, 160), (251, 130), (80, 80)])
def test_positions_in_nm_do_not_depend_on_pixels(tiling, shape):
    options = PredictOptions("au111", RAW, tiling)
    found = detector().predict(blobs(TRUTH, shape=shape), options)
    np.testing.assert_allclose(
        sorted_nm(found.positions_nm), sorted_nm(TRUTH), atol=0.08
    )
    pixel = np.array([37.5, 37.5]) / shape
    np.testing.assert_allclose(
        (found.positions_px + 0.5) * pixel, found.positions_nm
    )
    assert found.search.score.shape == (80, 80)


def test_a_frame_of_several_tiles_is_whole():
    truth = np.array([[y, x] for y in (9.0, 30, 47) for x in (11.0, 31, 66)])
    maps = blobs(truth, extent=(56.0, 75.0), shape=(230, 300))
    told = []
    found = detector().predict(
        maps, OPTIONS, progress=lambda *n: told.append(n)
    )
    assert told[-1][0] == told[-1][1] > 1
    np.testing.assert_allclose(
        sorted_nm(found.positions_nm), sorted_nm(truth), atol=0.08
    )


def test_threshold_is_the_cards_or_the_users():
    assert len(detector().predict(blobs(TRUTH), OPTIONS).scores) == 3
    one_map = blobs(TRUTH, n_maps=1)
    assert len(detector().predict(one_map, OPTIONS).scores) == 0
    options = PredictOptions("au111", RAW, threshold=5.0)
    assert len(detector().predict(one_map, options).scores) == 3


def test_the_scale_of_s_does_not_count():
    maps = blobs(TRUTH)
    first = detector().predict(maps, OPTIONS)
    second = detector().predict(
        maps.with_data(1e-12 * maps.data, "in amperes"), OPTIONS
    )
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-3)


def test_unmeasured_band_is_masked_and_reported():
    maps = blobs(TRUTH)
    data = maps.data.copy()
    data[1, 80:94] = np.nan  # over the second spot
    found = detector().predict(maps.with_data(data, "band"), OPTIONS)
    assert np.isnan(found.search.score[41:46]).all()
    np.testing.assert_allclose(
        sorted_nm(found.positions_nm), sorted_nm(TRUTH[[0, 2]]), atol=0.08
    )
    assert any("not measured" in note for note in found.notes)


@pytest.mark.parametrize(
    "region",
    [
        Region((64, 160), (20, 150)),
        Region(roi_nm=(15.0, 4.6875, 22.5, 30.46875)),
    ],
)
def test_positions_of_a_part_count_from_the_files_corner(region):
    options = PredictOptions("au111", RAW, region=region)
    maps = blobs(TRUTH)
    found = detector().predict(maps, options)
    np.testing.assert_allclose(
        sorted_nm(found.positions_nm), sorted_nm(TRUTH[1:]), atol=0.08
    )
    assert found.maps is maps
    assert found.search.origin_px == (64, 20)
    assert found.search.origin_nm == pytest.approx((15.0, 4.6875))
    assert found.search.levelled.shape == (2, 96, 130)
    expected = np.zeros((160, 160), bool)
    expected[64:, 20:150] = True
    np.testing.assert_array_equal(found.measured, expected)
    assert any("cropped to rows 64:160" in note for note in found.notes)


def test_what_lies_beyond_the_part_does_not_count():
    maps = blobs(TRUTH)
    data = maps.data.copy()
    data[:, :60] = 1e6 * np.random.default_rng(0).normal(size=(2, 60, 160))
    region = Region(rows=(64, None))
    options = PredictOptions("au111", CleaningOptions(), region=region)
    clean, spoilt = (
        detector().predict(m, options)
        for m in (maps, maps.with_data(data, "spoilt"))
    )
    np.testing.assert_array_equal(clean.search.score, spoilt.search.score)
    np.testing.assert_array_equal(clean.positions_px, spoilt.positions_px)


def test_some_of_the_biases():
    maps = blobs(TRUTH, n_maps=6)
    data = maps.data.copy()
    data[[0, 5]] = np.random.default_rng(0).normal(size=(160, 160))
    options = PredictOptions("au111", RAW, bias_range_v=(-0.2, 0.0))
    spoilt = maps.with_data(data, "spoilt")
    found = detector().predict(spoilt, options)
    np.testing.assert_array_equal(
        found.search.levelled.bias_v, maps.bias_v[1:5]
    )
    np.testing.assert_allclose(
        sorted_nm(found.positions_nm), sorted_nm(TRUTH), atol=0.08
    )
    assert found.maps is spoilt


def test_a_bias_below_the_band_edge_names_the_file():
    maps = blobs(TRUTH)
    low = maps.with_data(maps.data, "low", bias_v=[-0.6, 0.0])
    with pytest.raises(InputError, match=r"maps: The bias -0\.6 V lies at or"):
        detector().predict(low, OPTIONS)


def test_pixels_too_coarse_for_the_waves_are_reported():
    coarse = blobs(TRUTH, extent=(150.0, 150.0), shape=(80, 80))
    fine = blobs(TRUTH)
    told = [
        any("cannot show" in note for note in found.notes)
        for found in (
            detector().predict(maps, OPTIONS) for maps in (coarse, fine)
        )
    ]
    assert told == [True, False]


def test_a_part_beyond_the_frame():
    options = PredictOptions("au111", region=Region(rows=(100, 161)))
    with pytest.raises(InputError, match="--rows 100:161 reaches beyond"):
        detector().predict(blobs(TRUTH), options)


def test_number_of_maps_unlike_training_is_reported():
    found = detector().predict(blobs(TRUTH, n_maps=5), OPTIONS)
    assert any("this one has 5" in note for note in found.notes)


def test_frame_smaller_than_the_networks_reach():
    maps = blobs([[1.0, 1.0]], extent=(2.0, 2.0), shape=(32, 32))
    with pytest.raises(InputError, match=r"4 x 4 px, .* needs 10"):
        detector(reach_px=9).predict(maps, OPTIONS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"surface": "pt111"}, "pt111"),
        ({"threshold": float("nan")}, "nan"),
    ],
)
def test_options_are_checked_at_once(wrong, message):
    with pytest.raises(InputError, match=message):
        PredictOptions(**wrong)


def test_a_network_without_probabilities_has_no_rate():
    with pytest.raises(InputError, match="--false-discovery-rate: the model"):
        detector().predict(
            blobs(TRUTH),
            PredictOptions("au111", RAW, false_discovery_rate=0.1),
        )


def test_a_network_that_is_never_given_q_cannot_do_without():
    with pytest.raises(InputError, match="--no-give-q: the model"):
        detector().predict(
            blobs(TRUTH),
            PredictOptions("au111", RAW, give_q=False),
        )


def test_unknown_tiling():
    with pytest.raises(InputError, match=r"'mosaic'\. Known: overlap, paper"):
        PredictOptions(tiling="mosaic")  # pyright: ignore[reportArgumentType]


def test_files_hold_what_was_found(tmp_path):
    found = detector().predict(blobs(TRUTH), OPTIONS)
    write_result(found, tmp_path / "out", truth_px=found.positions_px)
    table = read_positions(tmp_path / "out/positions.csv")
    np.testing.assert_allclose(
        table.positions_px, found.positions_px, atol=1e-4
    )
    assert table.positions_nm is not None
    np.testing.assert_allclose(
        table.positions_nm, found.positions_nm, atol=1e-4
    )
    np.testing.assert_array_equal(
        np.load(tmp_path / "out/S.npy"), found.search.score
    )
    picture = (tmp_path / "out/overview.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    header = (tmp_path / "out/positions.txt").read_text()
    assert "top left" in header
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(FILES)


def test_no_impurity_is_a_result(tmp_path):
    maps = blobs(TRUTH)
    options = PredictOptions("au111", RAW, threshold=1000.0)
    found = detector().predict(maps, options)
    write_result(found, tmp_path)
    assert len(read_positions(tmp_path / "positions.csv").positions_px) == 0


def test_paper_geometry_needs_no_resampling():
    maps = blobs(TRUTH, shape=(80, 80))
    found = detector().predict(maps, OPTIONS)
    assert found.search.maps.pixel_nm == pytest.approx([PAPER_PIXEL_NM] * 2)
    np.testing.assert_array_equal(found.search.maps.data, maps.data)


WANG2020 = load_detector(Path(__file__).parents[3] / "saved_models/wang2020")


@pytest.mark.parametrize("n_maps", [1, 4, 16])
def test_white_noise_holds_no_impurities(n_maps):
    rng = np.random.default_rng(5)
    counts = []
    for _ in range(3):
        maps = ConductanceMaps(
            rng.standard_normal((n_maps, 80, 80)),
            np.linspace(-0.23, 0.02, n_maps),
            (37.5, 37.5),
        )
        counts.append(len(WANG2020.predict(maps, OPTIONS).scores))
    assert sum(counts) <= 6, counts


def test_tiles_of_the_network_show_no_seam():
    """One bright blob in a corner would change the scale of its tile."""
    fields = simulate_friedel(
        FriedelConfig(size_px=150, n_impurities=(200, 200), n_voltages=4),
        np.random.default_rng(6),
        1,
    )
    # Without noise, single pixels of Eq. 3 would be taken for hot ones.
    noise = np.random.default_rng(7).normal(0, 0.1, fields.maps[0].shape)
    maps = fields.maps[0] + noise.astype(np.float32)
    maps[:, 10:14, 10:14] += 3
    whole = WANG2020.score(maps[None])[0]
    stack = ConductanceMaps(maps, np.linspace(-0.23, 0.02, 4), (70.3, 70.3))
    found = WANG2020.predict(stack, OPTIONS)
    assert found.search.score.shape == whole.shape
    np.testing.assert_allclose(
        found.search.score, whole, atol=1e-3 * np.abs(whole).max()
    )
