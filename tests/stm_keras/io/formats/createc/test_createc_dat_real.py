import struct
import zlib

import numpy as np
import pytest

from stm_keras.io.reader import open_recording


def only(recording, name, direction="forward"):
    found = [
        c
        for c in recording.channels
        if c.name == name and c.direction == direction
    ]
    assert len(found) == 1
    return found[0]


class TestRealFile:
    """Ag(111) with adatoms, 40 nm, 105.8 mV, against its raw bytes."""

    @pytest.fixture
    def path(self, shared_file):
        return shared_file("readers/createc_ag111_100mV.dat")

    @pytest.fixture
    def raw(self, path):
        data = zlib.decompress(path.read_bytes()[16384:])
        numbers = np.array(struct.unpack(f"<{4 * 256 * 256}f", data[4:1048580]))
        return numbers.reshape(4, 256, 256)

    def test_header(self, path):
        recording = open_recording(path)
        text = path.read_bytes()[:16384].decode("cp1252")
        assert "BiasVoltage / BiasVolt.[mV]=105.80" in text
        assert "Length x[A]=399.0576" in text
        assert recording.extent_nm == pytest.approx((39.90576, 39.90576))
        assert recording.shape == (256, 256)
        assert recording.metadata["set point"] == "1.25e-10 A"
        # the length in counts and in angstrom agree on 20 bits
        assert (
            pytest.approx(399.0576, rel=1e-4)
            == 256 * 165 * 20 / 2**20 * 10 * 49.53
        )

    def test_images_equal_the_raw_counts(self, path, raw):
        recording = open_recording(path)
        scales = [20 / 2**20 * 10 * 8.76e-10, 20 / 2**20 * 1e-9]
        for plane, channel in zip(raw, recording.channels, strict=True):
            scale = scales[0] if channel.unit == "m" else scales[1]
            np.testing.assert_allclose(channel.load()[0], plane * scale, 1e-6)
            assert channel.bias_v == pytest.approx([0.1058])

    def test_the_mean_current_is_the_set_point(self, path):
        recording = open_recording(path)
        current = only(recording, "Current").load()
        assert current.mean() == pytest.approx(1.25e-10, rel=0.06)

    def test_the_tip_runs_to_the_right_and_back(self, path):
        """Climbing, the feedback lags and the current is too large."""
        recording = open_recording(path)
        for direction, sign in (("forward", 1), ("backward", -1)):
            height = only(recording, "Topography", direction).load()[0]
            current = only(recording, "Current", direction).load()[0]
            slope = np.gradient(height, axis=1)
            error = current - np.median(current, axis=1, keepdims=True)
            both = np.corrcoef(slope.ravel(), error.ravel())[0, 1]
            assert sign * both > 0.8

    def test_both_directions_show_the_same_place(self, path):
        recording = open_recording(path)
        both = [
            only(recording, "Topography", direction).load()[0]
            for direction in ("forward", "backward")
        ]
        level = [b - np.median(b, axis=1, keepdims=True) for b in both]
        assert np.corrcoef(level[0].ravel(), level[1].ravel())[0, 1] > 0.9

    def test_adatoms_stand_out(self, path):
        """An atom on a close-packed surface is about 0.1 nm high or more."""
        height = only(open_recording(path), "Topography").load()[0] * 1e9
        rows, columns = np.mgrid[:256, :256]
        plane = np.stack([rows, columns, np.ones_like(rows)], -1)
        plane = plane.reshape(-1, 3)
        fit = np.linalg.lstsq(plane, height.ravel(), rcond=None)[0]
        level = height - (plane @ fit).reshape(256, 256)
        assert 0.05 < level.max() < 0.3
        assert level.max() > 2 * -np.percentile(level, 0.5)
