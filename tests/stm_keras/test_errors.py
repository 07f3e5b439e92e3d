import pytest

from stm_keras.errors import InputError


@pytest.mark.parametrize("letter", ["\n", "\r", "\x1b", "\u2028", "\x85"])
def test_a_message_is_one_line(letter):
    """Names of files may hold anything, and reach the message."""
    assert str(InputError(f"a{letter}b.sxm: empty.")) == "a?b.sxm: empty."


def test_other_alphabets_stay():
    assert str(InputError("Größe µm 測定")) == "Größe µm 測定"
