"""Eagerly for one experiment, or traced in `tf.data`: the same statistics.

Every effect is written once, but its two sources of random numbers are not
one: here both paths must agree in what neighbours and opposite edges share.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.simulation.draws import StatelessDraws
from stm_keras.simulation.instrument import (
    BackgroundTilt,
    DoubleTip,
    Drift,
    EnergyResolution,
    InvertedContrast,
    LineNoise,
    MainsHum,
    MapGain,
    MissingLines,
    OneOverFNoise,
    Part,
    ScanLineOffsets,
    TipBlur,
    TipJumps,
    WhiteNoise,
)

N, V, SIZE = 50, 4, 20
PARTS: dict[str, Part] = {
    "white": WhiteNoise(amplitude=(0.2, 1.0)),
    "1/f": OneOverFNoise(amplitude=(1, 1), exponent=(1.2, 1.2)),
    "smooth along the line": LineNoise(amplitude=(1, 1), length_px=(2, 2)),
    "lines": ScanLineOffsets(amplitude=(0.5, 1.0)),
    "jumps": TipJumps(jumps_per_map=(0.5, 1.0), offset=(0.5, 1.0)),
    "tilt": BackgroundTilt(amplitude=(0.5, 1.0)),
    "tilt of each map": BackgroundTilt(of_each_map=True),
    "drift": Drift(extent_px=(0.5, 2.0)),
    "blur": TipBlur(sigma_px=(0.5, 1.0), anisotropy=(1, 2)),
    "energy": EnergyResolution(
        temperature_k=(20.0, 60.0), bias_v=(0.0, 0.02, 0.05, 0.06)
    ),
    "gain": MapGain(),
    "double tip": DoubleTip(share=0.7, distance_px=(1, 4)),
    "hum": MainsHum(amplitude=(0.5, 1.0), periods_per_line=(1, 6)),
    "inverted": InvertedContrast(share=0.3, share_of_maps=0.3),
    "gaps": MissingLines(share=0.5, width=(0.1, 0.4)),
}


@functools.cache
def waves() -> np.ndarray:
    """White fields made a little smooth, float32 [N, V, H, W]."""
    white = np.random.default_rng(1).normal(size=(N, V, SIZE, SIZE))
    smooth = white + np.roll(white, 1, 2) + np.roll(white, 1, 3)
    return (smooth / smooth.std()).astype(np.float32)


@functools.cache
def eager(name: str) -> np.ndarray:
    return np.stack(
        [
            PARTS[name](maps, np.random.default_rng([7, i]), scale=1.0)
            for i, maps in enumerate(waves())
        ]
    )


@functools.cache
def traced(name: str) -> np.ndarray:
    def measured(maps: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        draws = StatelessDraws(tf.stack([tf.constant(5, tf.int64), number]))
        return PARTS[name].apply(maps, draws, 1.0)

    stacks = tf.data.Dataset.from_tensor_slices(waves()).batch(25)
    batches = stacks.enumerate().map(lambda i, maps: measured(maps, i))
    return np.concatenate(list(batches.as_numpy_iterator()))


def statistics(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Moments and products of what the effect changed, stack by stack [N]."""
    change = maps - waves()
    lost = np.isnan(change)
    change = np.where(lost, 0.0, change)
    top, bottom, left, right = (
        change[:, :, 0],
        change[:, :, -1],
        change[..., 0],
        change[..., -1],
    )
    pairs = {
        "power": (change, change),
        "with the maps": (change, waves()),
        "neighbouring rows": (change[:, :, 1:], change[:, :, :-1]),
        "neighbouring columns": (change[..., 1:], change[..., :-1]),
        "neighbouring maps": (change[:, 1:], change[:, :-1]),
        "top and bottom": (top, bottom),
        "left and right": (left, right),
        "lost": (lost, lost),
        "lost, top and bottom": (lost[:, :, 0], lost[:, :, -1]),
    }
    return {
        name: (a * b).reshape(N, -1).mean(axis=1)
        for name, (a, b) in pairs.items()
    }


@pytest.mark.parametrize("name", PARTS)
def test_both_paths_share_moments_edges_and_neighbours(name):
    ours, theirs = statistics(eager(name)), statistics(traced(name))
    scale = max(ours["power"].mean(), 1e-9)
    for kind, values in ours.items():
        error = np.hypot(values.std(), theirs[kind].std()) / np.sqrt(N)
        difference = abs(values.mean() - theirs[kind].mean())
        assert difference < 4.5 * error + 0.02 * scale, kind
    assert ours["power"].mean() > 0.01 or ours["lost"].mean() > 0.05


@pytest.mark.parametrize("path", [eager, traced])
@pytest.mark.parametrize("name", ["1/f", "smooth along the line"])
def test_opposite_edges_of_noise_are_no_neighbours(name, path):
    noise = path(name) - waves()
    across = (noise[..., 0] * noise[..., -1]).mean()
    down = (noise[:, :, 0] * noise[:, :, -1]).mean()
    near = (noise[..., 0] * noise[..., 1]).mean()
    # 1/f noise about its mean: the edges even oppose each other.
    assert max(across, down) < 0.05
    assert near > 0.3


@pytest.mark.parametrize("name", PARTS)
def test_stacks_of_a_batch_are_drawn_one_by_one(name):
    if name == "gaps":
        lost = np.isnan(traced(name)).any(axis=(1, 2, 3))
        assert 0.3 < lost.mean() < 0.7
        return
    change = traced(name) - waves()
    first, second = change[0].ravel(), change[1].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.999
    assert not np.array_equal(first, second)
