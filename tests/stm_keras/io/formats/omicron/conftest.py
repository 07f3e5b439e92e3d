import pytest


@pytest.fixture(name="mtrx")
def _mtrx(tiny):
    return tiny("matrix")


@pytest.fixture(name="written")
def _written(mtrx, tmp_path):
    """Writes a session; gives the path of one of its data files."""

    def write(data, channel=None, given=None):
        files = mtrx.session_files(data, given)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        channel = channel or next(iter(data))
        return tmp_path / f"{mtrx.RUN_NAME}{channel}_mtrx"

    return write
