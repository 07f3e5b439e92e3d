"""How many steps a second does a training make, in float32 and in bfloat16?

Both networks, one step of each in turn, on the same random maps: what a
pipeline of data adds is not in it. Prints seconds of a step (median, least and
greatest), samples a second, and the ratio to float32. With --torch the same
`wang2020` in PyTorch takes its turns between (`pip install torch`, in an
environment of its own that has stm-keras as well): its convolutions,
activations and attention, channels last, in float32 and in bfloat16. From the
project's folder:

    python benchmarks/training_rates.py
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from header import machine

from stm_keras.nn.model import ImpurityFinder, context, wang2020
from stm_keras.training.precision import has_bfloat16, policy_of

Step = Callable[[], float]

WANG = 32, 8, 20
CONTEXT = 16, 16, 46
"""Stacks of a batch, maps of a stack, side [px]."""

SHIPPED_BLOCKS = (1, 2, 4, 8, 2, 1, 1, 2, 4, 8, 2, 1)
"""Of the decoder of `context` as it ships."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--torch", action="store_true")
    options = parser.parse_args()
    print(
        f"{machine()}, load {os.getloadavg()[0]:.1f} at the start; "
        f"{options.rounds} steps each, in turn, after two that do not count; "
        f"bfloat16 in the processor: {'yes' if has_bfloat16() else 'no'}\n"
    )
    print("| training | s a step: median | least | greatest | samples/s |")
    print("|---|---|---|---|---|")
    for shape, steps in (
        (WANG, wang_steps(torch=options.torch)),
        (CONTEXT, context_steps()),
    ):
        report(shape, steps, options.rounds)


def report(
    shape: tuple[int, int, int], steps: dict[str, Step], rounds: int
) -> None:
    """Print a line for each of what takes its turns."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if number > 1:
                taken[name].append(time.perf_counter() - started)
    batch, maps, side = shape
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(
            f"| {name}, {batch} x {maps} x {side} x {side} | {median:.3f} | "
            f"{min(seconds):.3f} | {max(seconds):.3f} | {batch / median:.0f} |"
        )


def wang_steps(*, torch: bool) -> dict[str, Step]:
    """Of the paper's network, as `stmk fit` builds it."""
    data = batch_of(WANG)
    steps = {
        f"wang2020, {precision}": keras_step(
            wang2020(0.0, policy_of(precision), filters=32, depth=2), data
        )
        for precision in ("float32", "bfloat16")
    }
    return steps | (torch_steps(data) if torch else {})


def context_steps() -> dict[str, Step]:
    """Of `context`, as it ships."""
    data = batch_of(CONTEXT)
    return {
        f"context, {precision}": keras_step(
            context(
                0.0, policy_of(precision), decoder_dilations=SHIPPED_BLOCKS
            ),
            data,
        )
        for precision in ("float32", "bfloat16")
    }


def batch_of(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Random maps with what both losses ask for."""
    batch, maps, side = shape
    rng = np.random.default_rng(0)
    label = np.zeros((batch, side, side), np.float32)
    label[:, side // 2, side // 2] = 1
    return {
        "maps": rng.normal(size=(batch, maps, side, side)).astype(np.float32),
        "ring": rng.uniform(0.7, 2, (batch, maps)).astype(np.float32),
        "positions": rng.uniform(0, side - 1, (batch, 12, 2)).astype("f4"),
        "label": label,
    }


def keras_step(model: ImpurityFinder, data: dict[str, np.ndarray]) -> Step:
    """One step of `fit`, traced once."""
    model.compile(optimizer=keras.optimizers.AdamW(1e-4))
    model.optimizer.build(model.trainable_variables)
    held = {name: tf.constant(value) for name, value in data.items()}
    step = tf.function(model.train_step, autograph=False)
    return lambda: float(step(held)["loss"])


def torch_steps(data: dict[str, np.ndarray]) -> dict[str, Step]:
    """The same `wang2020` in PyTorch."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(os.cpu_count() or 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()

            def convolution(channels: int, filters: int) -> nn.Module:
                return nn.Conv2d(channels, filters, 5, padding="same")

            self.trunk = nn.Sequential(
                convolution(1, 32), nn.ReLU(), convolution(32, 32), nn.ReLU()
            )
            self.query, self.key = convolution(32, 8), convolution(32, 8)
            self.value = nn.Sequential(convolution(32, 32), nn.ReLU())
            self.projection = nn.Linear(32, 1)

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            b, v, h, w = maps.shape
            features = self.trunk(
                maps.reshape(b * v, 1, h, w).to(
                    memory_format=torch.channels_last
                )
            )
            query, key, value = (
                head(features)
                .permute(0, 2, 3, 1)
                .reshape(b, v, h, w, -1)
                .permute(0, 2, 3, 1, 4)
                for head in (self.query, self.key, self.value)
            )
            logits = (query @ key.transpose(-1, -2)).float()
            weights = logits.softmax(-1).sum(-2).to(value.dtype)
            total = (weights[..., None] * value).sum(-2)
            return self.projection(total)[..., 0].float()

    def step_in(dtype: torch.dtype) -> Step:
        torch.manual_seed(0)
        net = Net().to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(net.parameters(), 1e-4)
        maps, label = (torch.from_numpy(data[n]) for n in ("maps", "label"))

        def step() -> float:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
                score = net(maps)
            log_share = score - score.logsumexp((1, 2), keepdim=True)
            loss = -(label * log_share).sum((1, 2)).mean()
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return step

    return {
        "the same in PyTorch, float32": step_in(torch.float32),
        "the same in PyTorch, bfloat16": step_in(torch.bfloat16),
    }


if __name__ == "__main__":
    main()
