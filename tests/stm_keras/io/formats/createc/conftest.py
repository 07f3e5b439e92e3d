import pytest

from stm_keras.io.formats.createc.createc_dat import open_dat


@pytest.fixture(name="dat")
def _dat(tiny):
    return tiny("createc_dat")


@pytest.fixture(name="opened")
def _opened(tmp_path):
    def write(content, name="a.dat"):
        path = tmp_path / name
        path.write_bytes(content)
        return open_dat(path)

    return write
