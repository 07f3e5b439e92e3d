from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def shared_file():
    """The path of a real file beside the repository, or a skip."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the real file ../shared/data/{name} is not here")
        return path

    return find
