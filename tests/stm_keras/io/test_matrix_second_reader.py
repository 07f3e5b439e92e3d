import numpy as np
import pytest

from stm_keras.io.matrix import open_mtrx


@pytest.fixture(name="mtrx")
def _mtrx(tiny):
    return tiny("matrix")


@pytest.fixture(name="written")
def _written(mtrx, tmp_path):
    """Writes a session; gives the path of one of its data files."""

    def write(data, given=None):
        for name, content in mtrx.session_files(data, given).items():
            (tmp_path / name).write_bytes(content)
        return tmp_path / f"{mtrx.RUN_NAME}{next(iter(data))}_mtrx"

    return write


def only(recording, name, direction="forward"):
    found = [
        c
        for c in recording.channels
        if c.name == name and c.direction == direction
    ]
    assert len(found) == 1
    return found[0]


class TestSecondReader:
    """The same files, read by access2theMatrix, whose row 0 is the bottom."""

    @pytest.fixture
    def access(self):
        return pytest.importorskip("access2thematrix").MtrxData()

    @pytest.mark.parametrize("channel", ["Z", "I"])
    def test_images(self, mtrx, written, access, channel):
        path = written({channel: mtrx.data_file(mtrx.counts(96))})
        traces, message = access.open(str(path))
        assert "Successfully" in message
        recording = open_mtrx(path)
        assert len(traces) == len(recording.channels) == 4
        for trace in traces.values():
            image, _ = access.select_image(trace)
            data = image.data
            assert data is not None
            direction, way = trace.split("/")
            name = channel + (" down" if way == "down" else "")
            ours = only(recording, name, direction).load()[0]
            np.testing.assert_allclose(ours, data[::-1], rtol=1e-6)
            assert (image.height, image.width) == pytest.approx((8e-9, 6e-9))
            assert (image.x_offset, image.y_offset) == pytest.approx(
                np.array(recording.placement.centre_nm) * 1e-9
            )

    def test_a_real_image(self, shared_file, access):
        shared_file("readers/2014Mar01-093225_0001.mtrx")
        path = shared_file("readers/2014Mar01-093225--7_100.Z_mtrx")
        traces, _ = access.open(str(path))
        recording = open_mtrx(path)
        assert len(traces) == len(recording.channels) == 4
        for trace in traces.values():
            image, _ = access.select_image(trace)
            data = image.data
            assert data is not None
            direction, way = trace.split("/")
            name = "Z" + (" down" if way == "down" else "")
            ours = only(recording, name, direction).load()[0]
            np.testing.assert_allclose(ours, data[::-1], rtol=1e-5)
            assert recording.extent_nm is not None
            assert recording.placement is not None
            assert image.height * 1e9 == pytest.approx(recording.extent_nm[0])
            assert recording.placement.centre_nm == pytest.approx(
                (image.x_offset * 1e9, image.y_offset * 1e9)
            )
        assert recording.channels[0].bias_v.tolist() == [0.1]

    @pytest.mark.parametrize("match", [0, 1, 2])
    @pytest.mark.parametrize("reversal", [True, False])
    def test_sweeps(self, mtrx, written, access, match, reversal):
        given = mtrx.parameters(
            XYScanner__Subgrid_Match_Mode=match,
            Spectroscopy__Enable_Device_1_Ramp_Reversal=reversal,
        )
        lines = 2 if match == 0 else 1
        counts = mtrx.counts(2 * 2 * lines * 3 * (1 + reversal) * 5)
        path = written({"I(V)": mtrx.data_file(counts)}, given=given)
        _, message = access.open(str(path))
        assert "Successfully" in message
        recording = open_mtrx(path)
        np.testing.assert_allclose(
            recording.channels[0].bias_v, access.scan[0], atol=1e-12
        )
        first = "backward" if match == 2 else "forward"
        n_compared = 0
        for trace, ramps in access.volume_scan.items():
            direction, way = trace.split("/")
            name = "I" + (" down" if way == "down" else "")
            name += "" if direction == first else " of lines back"
            for ramp, volume in ramps.items():
                of_ramp = "forward" if ramp == "trace" else "backward"
                ours = only(recording, name, of_ramp).load()
                theirs = np.moveaxis(volume[::-1], -1, 0)
                np.testing.assert_allclose(ours, theirs, rtol=1e-6)
                n_compared += 1
        assert n_compared == len(recording.channels)
