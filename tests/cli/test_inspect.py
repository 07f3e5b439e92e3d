"""`stmk inspect`: what it says of files whose content is known."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from stm_keras.errors import InputError
from stm_keras.io.arrays import write_npz
from stm_keras.maps import ConductanceMaps
from stm_keras.simulation.virtual_experiment import (
    VirtualConfig,
    simulate_virtual,
)

_SCANS = Path(__file__).resolve().parents[3] / "shared" / "data" / "cu111_co"
_BIAS = (-0.2, -0.1, 0.0)


def run(*arguments):
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return " ".join(result.output.split())


def virtual(path, bias=_BIAS, seed=0):
    config = VirtualConfig(difficulty="typical", bias_v=bias)
    made = simulate_virtual(config, np.random.default_rng(seed))
    extent = (config.extent_nm, config.extent_nm)
    maps = ConductanceMaps(made.maps, made.bias_v, extent, "dI/dV", "S")
    write_npz(maps, path)
    return path


@pytest.fixture(scope="module")
def gold(tmp_path_factory):
    return virtual(tmp_path_factory.mktemp("gold") / "gold.npz")


def test_a_virtual_experiment_is_recognised(gold, tmp_path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    text = run(gold, "--out", out, "--json", report)
    assert "NumPy archive" in text
    assert "37.5 x 37.5 nm, 80 x 80 px" in text
    assert "visible in 3 of 3 map(s)" in text
    assert "--surface au111" in text
    assert "warning" not in text
    assert [p.name for p in out.iterdir()] == ["gold.npz.inspect.png"]
    assert (out / "gold.npz.inspect.png").read_bytes()[:4] == b"\x89PNG"
    (file,) = json.loads(report.read_text())["files"]
    fit = file["surfaces"]["k_of_v"]
    off = fit["effective_mass"] - 0.26
    assert abs(off) < 4 * fit["effective_mass_sigma"]
    off = fit["band_edge_ev"] + 0.52
    assert abs(off) < 4 * fit["band_edge_sigma_ev"]
    assert [m["bias_v"] for m in file["maps"]] == list(_BIAS)
    assert all(m["ring"]["q_sigma_per_nm"] > 0 for m in file["maps"])


def test_a_surface_can_be_asked_for(gold):
    assert "Cu(111) does not fit" in run(gold, "--surface", "cu111")
    assert "Au(111) fits" in run(gold, "--surface", "Au(111)")
    own = "m* = 0.26 m_e, E0 = -0.52 eV fits"
    assert own in run(gold, "--surface", "0.26,-0.52")
    assert "does not fit" in run(gold, "--surface", "0.5,-0.52")


def test_several_files_make_one_fit(tmp_path):
    for number, bias in enumerate((-0.2, 0.0)):
        virtual(tmp_path / f"{number}.npz", (bias,), seed=number)
    text = run(tmp_path)
    assert text.count("not fitted: rings at one bias") == 2
    together = text.split("All 2 files together")[1]
    assert "2 rings at 2 biases" in together
    assert "--surface au111" in together


def test_what_is_missing_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 40)))
    text = run(tmp_path / "a.npy")
    assert "does not say the bias" in text
    assert "does not say its size" in text
    text = run(tmp_path / "a.npy", "--bias", "0", "--extent-nm", "5,5")
    assert "no FFT ring stands out in the map" in text
    assert "too small for all waves of" in text


def test_biases_and_maps_that_cannot_be_used(tmp_path):
    maps = np.random.default_rng(0).normal(size=(4, 32, 32))
    maps[1] = 0
    maps[2, :5] = np.nan
    path = tmp_path / "a.npz"
    bias = [0.1, 0.2, 0.3, 0.3]
    np.savez(path, maps=maps, bias_v=bias, extent_nm=[90.0, 90.0])
    text = run(path)
    assert "more than once: 0.3 V" in text
    assert "no content in the map at 0.2 V" in text
    assert "lines 0-4 not measured, in the map at 0.3 V" in text
    assert "pixel of 2.81 nm too coarse for all waves of Au(111)" in text


def test_one_bad_file_does_not_hide_the_others(gold, tmp_path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"PK\x03\x04")
    result = CliRunner().invoke(app, ["inspect", str(bad), str(gold)])
    assert isinstance(result.exception, InputError)
    assert "1 of 2 files" in str(result.exception)
    assert "--surface au111" in result.output
    with pytest.raises(InputError, match=r"bad\.npz"):
        run(bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--surface", "pt111"), "pt111"),
        (("--channel", "Q"), "'Q'"),
        (("--bias", "0.1"), "3 maps need as many biases"),
        (("--extent-nm", "0,1"), "--extent-nm"),
        (("--direction", "backward"), "backward"),
    ],
)
def test_bad_options(gold, arguments, message):
    with pytest.raises(InputError, match=message):
        run(gold, *arguments)


def test_tensorflow_is_not_loaded(gold):
    code = (
        "import sys; from cli.main import main; sys.argv[1:] = "
        f"['inspect', {str(gold)!r}]\ntry:\n    main()\nexcept SystemExit:\n"
        "    pass\nprint('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_real_scan(tmp_path):
    path = _SCANS / "Topo015.sxm"
    if not path.exists():
        pytest.skip("the real file ../shared/data/cu111_co is not here")
    report = tmp_path / "report.json"
    text = run(path, "--json", report)
    assert "--surface cu111" in text
    assert "LIX_1_omega: the file says lock-in off" in text
    assert "215-216 noisy" in text
    (file,) = json.loads(report.read_text())["files"]
    (only,) = file["maps"]
    assert only["ring"]["q_per_nm"] == pytest.approx(4.29, rel=0.03)
