import pytest

from stm_keras.io.formats.rhk.rhk_sm4 import open_sm4


@pytest.fixture(name="rhk")
def _rhk(tiny):
    return tiny("rhk_sm4")


@pytest.fixture(name="opened")
def _opened(tmp_path):
    def write(content, name="a.sm4"):
        path = tmp_path / name
        path.write_bytes(content)
        return open_sm4(path)

    return write
