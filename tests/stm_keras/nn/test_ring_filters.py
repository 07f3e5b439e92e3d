import keras
import numpy as np
import pytest

from stm_keras.nn.model import context
from stm_keras.nn.ring_filters import Explained, RingTemplates

SIZE = 41
INNER = slice(9, -9)


def image(q, phase=0.0, at=(20, 20), decay=1.0):
    row, col = np.indices((SIZE, SIZE))
    r = np.hypot(row - at[0], col - at[1])
    return np.cos(q * r + phase) / (r + 1) ** decay


def ring(*args, **kwargs):
    one = image(*args, **kwargs)
    return ((one - one.mean()) / one.std()).astype(np.float32)


def answer(maps, told, templates=((1.0, 1.0),)):
    told = np.asarray(told, np.float32)
    layer = RingTemplates(templates)
    return np.asarray(layer(np.stack(maps).astype(np.float32), told))


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("decay", [1.0, 2.0])
def test_the_size_is_largest_at_the_rings_centre_whatever_its_phase(
    phase, decay
):
    own = ((1.0, decay),)
    shown = ring(1.4, phase, at=(17, 23), decay=decay)
    size = answer([shown], [1.4], own)[0, ..., 2]
    assert np.unravel_index(size.argmax(), size.shape) == (17, 23)


def test_another_wave_number_answers_less():
    own, other = (answer([ring(1.4)], [q])[0, 20, 20, 2] for q in (1.4, 2.1))
    assert own > 3 * other


@pytest.mark.parametrize("told", [0.5, 1.0, 1.7, 2.4])
@pytest.mark.parametrize("decay", [1.0, 2.0])
def test_answers_are_those_of_the_templates_themselves(told, decay):
    """The basis spans them to a per cent."""
    noise = np.random.default_rng(3).standard_normal((SIZE, SIZE))
    axis = np.arange(-8, 9)
    r = np.hypot(axis[:, None], axis)
    envelope = np.where(r <= 8, (r + 1) ** -decay, 0)
    answers = answer([noise], [told], ((1.0, decay),))[0, 20, 20]
    for quadrature, wave in enumerate((np.cos, np.sin)):
        template = wave(told * r) * envelope
        template -= template.sum() / envelope.sum() * envelope
        template /= np.linalg.norm(template) * np.sqrt(2)
        expected = (noise[12:29, 12:29] * template).sum()
        assert answers[quadrature] == pytest.approx(expected, abs=0.03)


def test_every_map_has_templates_of_its_own():
    maps = [ring(1.0), ring(1.6)]
    both = answer(maps, [1.0, 1.6])
    for index, q in enumerate((1.0, 1.6)):
        alone = answer([maps[index]], [q])[0]
        np.testing.assert_allclose(both[index], alone, atol=1e-5)


def test_a_scale_is_a_factor_of_the_told_wave_number():
    scaled = answer([ring(1.4)], [1.0], ((1.4, 1.0),))
    np.testing.assert_allclose(scaled, answer([ring(1.4)], [1.4]), atol=1e-4)


def test_white_noise_gives_sizes_of_unit_mean_square():
    noise = np.random.default_rng(0).standard_normal((9, SIZE, SIZE))
    size = answer(noise, np.full(9, 1.4))[:, INNER, INNER, 2]
    assert (size**2).mean() == pytest.approx(1.0, abs=0.15)


def test_a_slow_background_does_not_answer():
    slope = np.linspace(-1.7, 1.7, SIZE, dtype=np.float32)
    plane = np.broadcast_to(slope, (SIZE, SIZE))
    inner = answer([plane], [1.4])[0, INNER, INNER, 2]
    assert inner.max() < 0.05 * answer([ring(1.4)], [1.4])[..., 2].max()


@pytest.mark.parametrize("unknown", [0.0, np.nan])
def test_an_unknown_wave_number_gives_nothing(unknown):
    assert not answer([ring(1.4)], [unknown], ((0.9, 1.0), (1.0, 2.0))).any()
    layer = RingTemplates(((1.0, 1.0),))
    told = np.array([unknown], np.float32)
    assert not np.asarray(
        layer.paint(np.ones((1, 9, 9, 2), np.float32), told)
    ).any()


def test_painting_is_the_transpose_of_asking():
    rng = np.random.default_rng(5)
    layer = RingTemplates(((1.0, 1.0), (1.0, 2.0)))
    told = np.array([0.8, 1.9], np.float32)
    maps = rng.standard_normal((2, 24, 30)).astype(np.float32)
    amplitudes = rng.standard_normal((2, 24, 30, 4)).astype(np.float32)
    asked = np.asarray(layer(maps, told))[..., :4]
    painted = np.asarray(layer.paint(amplitudes, told))
    assert (asked * amplitudes).sum() == pytest.approx(
        (maps * painted).sum(), rel=1e-3
    )


def test_a_ring_painted_where_it_is_leaves_little():
    """What `Explained` takes off, were its amplitude the right one."""
    layer = RingTemplates(((1.0, 2.0),))
    told = np.array([1.4], np.float32)
    shown = image(1.4, 0.7, decay=2.0)[None].astype(np.float32)
    asked = np.asarray(layer(shown, told))[:, 20, 20]
    amplitudes = np.zeros((1, SIZE, SIZE, 2), np.float32)
    unit = np.stack(
        [
            np.asarray(layer.paint(amplitudes + one, told))[0]
            for one in _at_centre()
        ]
    )
    gram = np.asarray(layer(unit, np.repeat(told, 2)))[:, 20, 20, :2]
    amplitudes[0, 20, 20] = np.linalg.solve(gram, asked[0, :2])
    left = shown - np.asarray(layer.paint(amplitudes, told))
    # All but the mean, which no template has.
    about = left - left[:, INNER, INNER].mean()
    assert (about[:, INNER, INNER] ** 2).sum() < 0.15 * (shown**2).sum()


def _at_centre():
    for quadrature in range(2):
        one = np.zeros((1, SIZE, SIZE, 2), np.float32)
        one[0, 20, 20, quadrature] = 1
        yield one


def test_explained_takes_nothing_off_where_nothing_is_likely():
    layer = Explained()
    layer.build((None, None, None, 3))
    rng = np.random.default_rng(2)
    maps = rng.standard_normal((2, 12, 14)).astype(np.float32)
    features = rng.standard_normal((2, 12, 14, 3)).astype(np.float32)
    told = np.array([1.0, 2.0], np.float32)
    likely = np.ones((2, 12, 14, 1), np.float32)
    unlikely = np.asarray(layer(maps, told, features, 0 * likely))
    np.testing.assert_array_equal(unlikely[..., 0], maps)
    assert unlikely.shape[-1] == layer.channels
    taken = np.asarray(layer(maps, told, features, likely))[..., 0]
    assert np.abs(taken - maps).max() > 1e-3


def test_a_network_takes_any_stack_and_stores_it(tmp_path):
    model = context(
        filters=4,
        dilations=(1,),
        second_dilations=(1,),
        first_dilations=(1,),
        decoder_filters=6,
        decoder_dilations=(1,),
    )
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
