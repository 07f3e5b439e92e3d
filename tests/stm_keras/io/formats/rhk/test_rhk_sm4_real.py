import struct

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
    """An image of graphite with lock-in, 175 nm, against its raw bytes."""

    # where the data of its six pages begin, read off the page index by hand
    PAGES = (
        (6058, "LIA Current", "backward", 4.656613e-18, "A"),
        (74014, "LIA Current", "forward", 4.656613e-18, "A"),
        (141954, "Current", "backward", 4.656613e-18, "A"),
        (209894, "Current", "forward", 4.656613e-18, "A"),
        (277846, "Topography", "backward", -6.9849196e-17, "m"),
        (345798, "Topography", "forward", -6.9849196e-17, "m"),
    )

    @pytest.fixture
    def path(self, shared_file):
        return shared_file("readers/spym_lia_graphite.sm4")

    def test_images_equal_the_raw_counts(self, path):
        content = path.read_bytes()
        recording = open_recording(path)
        for offset, name, direction, scale, unit in self.PAGES:
            raw = struct.unpack_from("<16384i", content, offset)
            raw = np.array(raw).reshape(128, 128)
            channel = only(recording, name, direction)
            assert channel.unit == unit
            np.testing.assert_allclose(
                channel.load()[0], raw[:, ::-1] * scale, rtol=1e-6
            )

    def test_header(self, path):
        content = path.read_bytes()
        # page header of the first page: sizes at 28, scales at 56
        assert struct.unpack_from("<2I", content, 5242 + 24) == (128, 128)
        scales = struct.unpack_from("<3f", content, 5242 + 56)
        offsets = struct.unpack_from("<3f", content, 5242 + 72)
        bias, current, angle = struct.unpack_from("<3f", content, 5242 + 88)
        recording = open_recording(path)
        assert recording.shape == (128, 128)
        assert recording.extent_nm == pytest.approx((175, 175))
        assert recording.extent_nm == pytest.approx(
            (-128e9 * scales[1], -128e9 * scales[0])
        )
        assert recording.placement.centre_nm == pytest.approx(
            (offsets[0] * 1e9, offsets[1] * 1e9)
        )
        assert recording.placement.angle_deg == angle == 0
        for channel in recording.channels:
            assert channel.bias_v == pytest.approx([bias])
        assert bias == pytest.approx(0.075)
        assert recording.metadata["set point"] == f"{current:g} A"

    def test_the_mean_current_is_the_set_point(self, path):
        current = only(open_recording(path), "Current").load()
        assert current.mean() == pytest.approx(7e-11, rel=0.05)

    def test_the_tip_runs_to_the_right_and_back(self, path):
        """Climbing, the feedback lags and the current is too large."""
        recording = open_recording(path)
        for direction, sign in (("forward", 1), ("backward", -1)):
            height = only(recording, "Topography", direction).load()[0]
            current = only(recording, "Current", direction).load()[0]
            parts = []
            for image in (np.gradient(height, axis=1), current):
                image = image - np.median(image, axis=1, keepdims=True)
                parts.append(np.clip(image, *np.percentile(image, [1, 99])))
            both = np.corrcoef(parts[0].ravel(), parts[1].ravel())[0, 1]
            assert sign * both > 0.15

    def test_both_directions_show_the_same_place(self, path):
        recording = open_recording(path)
        both = [
            only(recording, "Topography", direction).load()[0]
            for direction in ("forward", "backward")
        ]
        level = [b - np.median(b, axis=1, keepdims=True) for b in both]
        assert np.corrcoef(level[0].ravel(), level[1].ravel())[0, 1] > 0.8

    def test_lock_in_ran_backward_only(self, path):
        """A fact of this file: its forward lock-in image holds noise."""
        recording = open_recording(path)
        ratio = {}
        for direction in ("forward", "backward"):
            image = only(recording, "LIA Current", direction).load()
            ratio[direction] = abs(image.mean()) / image.std()
        assert ratio["forward"] < 0.1 < ratio["backward"]
