import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps

NAMES = ("Current (A)", "LI Demod 1 X (A)", "Current [bwd] (A)")
SHAPE = (7, 3, 4)


def test_segments(write_grid, tiny):
    lines = [tiny("nanonis_3ds").SEGMENTS]
    path, _ = write_grid(file_type="MLS", lines=lines)
    maps = read_maps(path)
    np.testing.assert_allclose(
        maps.bias_v, [-0.1, -0.06, -0.02, 0.02, 0.14 / 3, 0.22 / 3, 0.1]
    )
    assert "bias in 3 segments" in maps.provenance


def test_segments_that_do_not_join_keep_all_their_points(write_grid):
    title = "Segment Start (V), Segment End (V), Steps (xn)"
    path, _ = write_grid(
        file_type="MLS", lines=[f"{title}=0,1,3;2,5,4"], ends=(0, 5)
    )
    np.testing.assert_allclose(read_maps(path).bias_v, [0, 0.5, 1, 2, 3, 4, 5])


def test_segments_in_force_by_the_sweep_mode(write_grid):
    title = "Bias Spectroscopy>MultiLine Settings: Segment Start (V), "
    title += "Segment End (V), Settling (s), Integration (s), Steps (xn)"
    lines = [f"{title}=-1,1,0,0,7"]
    path, _ = write_grid(lines=lines)
    assert read_maps(path).bias_v[0] == -0.2
    path, _ = write_grid(lines=[*lines, "Bias Spectroscopy>Sweep mode=MLS"])
    assert read_maps(path).bias_v[0] == -1


@pytest.mark.parametrize(
    "table",
    [
        "-1,1,0,0,6",  # of another number of points
        "-1,1,0,0,x",
        "-1,1",
        "",
        "nan,1,0,0,7",
        "-1,1,0,0,999999999;1,2,0,0,2",
        "-1,1,0,0,0;1,2,0,0,7",
    ],
)
def test_segments_that_do_not_fit(write_grid, table):
    title = "Segment Start (V), Segment End (V), a, b, Steps (xn)"
    options = {"file_type": "MLS", "lines": [f"{title}={table}"]}
    path, _ = write_grid(**options)
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    assert read_maps(path, bias_v=range(7)).shape == SHAPE
    # The controller's own bias, where it was recorded, is as good.
    path, sweeps = write_grid((*NAMES, "Bias (V)"), **options)
    maps = read_maps(path, channel="Current")
    np.testing.assert_allclose(maps.bias_v, sweeps["Bias (V)"][:, 2, 0])
    assert any("as recorded" in note for note in maps.provenance)


def test_unknown_kind_of_sweep(write_grid):
    path, _ = write_grid(file_type="Spiral")
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    assert "type spiral" in open_recording(path).notes[0]


def test_no_kind_is_linear_as_in_old_files(write_grid):
    path, _ = write_grid(file_type=None)
    assert read_maps(path).bias_v[0] == -0.2


def test_ends_that_vary(write_grid):
    ends = [(-0.2 + 0.01 * (point == 5), 0.2) for point in range(12)]
    path, _ = write_grid(ends=ends)
    maps = read_maps(path)
    assert maps.bias_v[0] == -0.2
    assert any("Sweep Start differs" in line for line in maps.provenance)
    assert not any("Sweep End" in line for line in maps.provenance)


def test_ends_in_the_header_alone(write_grid):
    lines = [
        "Bias Spectroscopy>Sweep Start (V)=-300E-3",
        "Bias Spectroscopy>Sweep End (V)=300E-3",
    ]
    unnamed = {"Fixed parameters": '"Start;End"'}
    path, _ = write_grid(lines=lines, replaced=unnamed)
    np.testing.assert_allclose(read_maps(path).bias_v[[0, -1]], [-0.3, 0.3])
    path, _ = write_grid(replaced=unnamed)
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)


def test_recorded_bias_that_contradicts(write_grid):
    path, sweeps = write_grid((*NAMES, "Bias (V)"))
    maps = read_maps(path, channel="Current")
    away = np.abs(sweeps["Bias (V)"][:, 2, 0] - maps.bias_v).max()
    (note,) = (n for n in maps.provenance if "recorded bias" in n)
    assert f"{away:g} V" in note
