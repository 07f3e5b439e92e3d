import tensorflow as tf

from stm_keras import __version__
from stm_keras.system import made_by_newer, maker, package_versions


def test_versions_here():
    versions = package_versions()
    assert versions["stm-keras"] == __version__
    assert versions["tensorflow"] == tf.__version__
    assert set(versions) > {"python", "keras", "numpy"}


def test_who_made_it():
    assert maker({"stm-keras": "9.0"}) == "stm-keras 9.0"
    for unknown in (None, {}, [], {"stm-keras": ""}):
        assert maker(unknown) == "an unknown stm-keras"


def test_what_is_newer_is_named_with_what_to_do():
    told = made_by_newer({"stm-keras": "9.0", "keras": "99.1rc1"})
    assert told == (
        f"It was made by stm-keras 9.0 (here: {__version__}), keras 99.1rc1 "
        f"(here: {package_versions()['keras']}): install what made it, or "
        "train it again with this version."
    )


def test_what_is_not_newer_or_does_not_matter():
    for versions in (
        package_versions(),
        {"stm-keras": f"{__version__}.0"},
        {"stm-keras": "0.0.99"},
        {"numpy": "99.0", "python": "9.9"},
        {"stm-keras": "not installed", "keras": None},
        {},
        None,
        ["stm-keras"],
    ):
        assert made_by_newer(versions) is None
