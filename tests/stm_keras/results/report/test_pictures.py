import numpy as np
import pytest

from stm_keras.results.report.pictures import Layer, packed, unpacked


@pytest.mark.parametrize("smooth", [False, True])
def test_an_image_comes_back_in_254_levels(smooth):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(40, 50))
    if smooth:
        image = np.add.outer(np.arange(40.0), np.arange(50.0))
    image[3:5, 7] = np.nan
    (one,) = packed([Layer("map", image[None], "A")], 10**6)
    assert (one["name"], one["unit"]) == ("map", "A")
    assert one["shape"] == one["full_shape"] == [40, 50]
    codes = unpacked(one["images"][0], one["shape"]).astype(float)
    np.testing.assert_array_equal(codes == 0, np.isnan(image))
    low, high = one["ranges"][0]
    back = low + (codes - 1) / 254 * (high - low)
    seen = np.isfinite(image)
    step = (high - low) / 254
    clipped = np.clip(image[seen], low, high)
    assert np.abs(back[seen] - clipped).max() <= 0.501 * step
    # A few extreme pixels do not take the contrast from the others.
    assert np.mean(clipped != image[seen]) == pytest.approx(0.01, abs=0.006)


def test_an_image_without_a_value_or_of_one_value():
    layers = [
        Layer("nothing", np.full((1, 8, 8), np.nan)),
        Layer("flat", np.full((1, 8, 8), 2.5)),
    ]
    nothing, flat = packed(layers, 10**6)
    assert not unpacked(nothing["images"][0], (8, 8)).any()
    assert (unpacked(flat["images"][0], (8, 8)) == 1).all()
    assert flat["ranges"] == [[2.5, 2.5]]


def test_pictures_shrink_to_what_is_allowed_and_keep_their_content():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(6, 200, 100))
    noise[:, :, 50:] += 20
    noise[:, 100:] = np.nan
    layers = [Layer("maps", noise), Layer("small", noise[:1, :20, :10])]
    large = packed(layers, 10**7)
    assert large[0]["shape"] == [200, 100]
    maps, small = packed(layers, 20_000)
    assert sum(len(t) for one in (maps, small) for t in one["images"]) <= 20_000
    rows, cols = maps["shape"]
    assert rows < 200
    assert rows == pytest.approx(2 * cols, abs=1)
    assert maps["full_shape"] == [200, 100]
    assert small["shape"] == [20, 10]
    codes = unpacked(maps["images"][0], maps["shape"])
    assert not codes[rows // 2 + 1 :].any()
    top = codes[: rows // 2 - 1]
    assert (top > 0).all()
    assert top[:, : cols // 2 - 1].max() < top[:, cols // 2 + 1 :].min()
