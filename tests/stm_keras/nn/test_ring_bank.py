import keras
import numpy as np
import pytest

from stm_keras.nn.model import context
from stm_keras.nn.ring_bank import RingBank

SIZE = 41


def ring(q, phase=0.0, at=(20, 20)):
    row, col = np.indices((SIZE, SIZE))
    r = np.hypot(row - at[0], col - at[1])
    image = np.cos(q * r + phase) / np.maximum(r, 1)
    return ((image - image.mean()) / image.std()).astype(np.float32)


def answer(maps, told, scales=(1.0,)):
    told = np.asarray(told, np.float32)
    return np.asarray(RingBank(scales)(np.stack(maps), told))


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5])
def test_the_size_is_largest_at_the_rings_centre_whatever_its_phase(phase):
    size = answer([ring(1.4, phase, at=(17, 23))], [1.4])[0, ..., 2]
    assert np.unravel_index(size.argmax(), size.shape) == (17, 23)
    assert size.max() == pytest.approx(answer([ring(1.4)], [1.4]).max(), 0.15)


def test_another_wave_number_answers_less():
    own, other = (answer([ring(1.4)], [q])[0, 20, 20, 2] for q in (1.4, 1.9))
    assert own > 3 * other


def test_every_map_has_templates_of_its_own():
    maps = [ring(1.0), ring(1.6)]
    both = answer(maps, [1.0, 1.6])
    for index, q in enumerate((1.0, 1.6)):
        alone = answer([maps[index]], [q])[0]
        np.testing.assert_allclose(both[index], alone, atol=1e-5)


def test_white_noise_gives_sizes_of_unit_mean_square():
    noise = np.random.default_rng(0).standard_normal((6, SIZE, SIZE))
    size = answer(noise.astype(np.float32), np.full(6, 1.4))[:, 13:-13, 13:-13]
    assert (size[..., 2] ** 2).mean() == pytest.approx(1.0, abs=0.15)


def test_a_slow_background_does_not_answer():
    slope = np.linspace(-1.7, 1.7, SIZE, dtype=np.float32)
    plane = np.broadcast_to(slope, (SIZE, SIZE))
    inner = answer([plane], [1.4])[0, 13:-13, 13:-13, 2]
    assert inner.max() < 0.05 * answer([ring(1.4)], [1.4])[..., 2].max()


@pytest.mark.parametrize("unknown", [0.0, np.nan])
def test_an_unknown_wave_number_gives_nothing(unknown):
    assert not answer([ring(1.4)], [unknown], (0.9, 1.0)).any()


def test_a_network_with_a_bank_takes_any_stack_and_stores_it(tmp_path):
    small = {
        "filters": 4,
        "dilations": (1,),
        "decoder_filters": 6,
        "decoder_dilations": (1,),
    }
    model = context(bank=(0.93, 1.0, 1.07), **small)
    maps = np.random.default_rng(1).normal(size=(2, 3, 30, 20))
    maps = maps.astype(np.float32)
    told = np.array([[1.2, 0, 1.5], [1.0, np.nan, 2.0]], np.float32)
    output = model(maps, told)
    assert output.shape == (2, 30, 20, 5)
    assert np.isfinite(output).all()
    order = [2, 0, 1]
    np.testing.assert_allclose(
        model(maps[:, order], told[:, order]), output, atol=1e-4
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again(maps, told), output, atol=1e-5)
    assert again.network.reach_px == 2 + 12 + 1 + 1
