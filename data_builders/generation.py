"""What builders of simulated data sets share: their configs, and two ways.

A builder names one function that makes any run of examples from nothing but
its arguments. It then serves a plain build, in this process or with helpers,
and an Apache Beam build, where a cluster's workers call it chunk by chunk.
Keys are the examples' numbers, so both ways give the same set in the same
order (TFDS orders by key).
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from stm_keras.errors import InputError

Example = dict[str, np.ndarray]

Make = Callable[[int, range, int], Iterator[Example]]
"""Makes examples: (number of the split, numbers of the examples, processes).

It starts at a multiple of the builder's `CHUNK`; what it gives depends on
nothing but those numbers, and not on the processes. To reach workers it must
be a module's function, or a `functools.partial` of one."""

SPLITS = ("train", "validation", "test")
_DIGEST_LENGTH = 8
_CHUNKS_PER_BLOCK = 1000
"""A pipeline's plan names blocks, and workers cut them into chunks: of a
billion examples the chunks alone would outgrow what Dataflow takes as plan."""


@dataclasses.dataclass
class SimulatedConfig(tfds.core.BuilderConfig):
    """One variant of a simulated set; subclasses say what `simulation` is.

    Attributes:
        simulation: what a field is drawn from, a frozen dataclass.
        n_examples: number of train, validation and test fields.
        seed: of all randomness; splits draw from streams of their own.
    """

    simulation: Any = None
    n_examples: tuple[int, int, int] = (20_000, 500, 500)
    seed: int = 0

    def changed(
        self,
        *,
        n_examples: tuple[int, int, int] | None = None,
        seed: int | None = None,
        **simulation: Any,
    ) -> Self:
        """This variant with some options replaced, under a name of its own.

        Args:
            n_examples: see the class; None keeps it.
            seed: likewise.
            **simulation: fields of `simulation`; None keeps a field.

        Returns:
            A variant whose name ends in a digest of all its options, or this
            one where nothing changes.

        Raises:
            InputError: for a negative seed, or where the simulation refuses
                a value.
        """
        if seed is not None and seed < 0:
            raise InputError(f"--seed must be 0 or more, not {seed}.")
        given = {k: v for k, v in simulation.items() if v is not None}
        changed = dataclasses.replace(
            self,
            simulation=dataclasses.replace(self.simulation, **given),
            n_examples=n_examples or self.n_examples,
            seed=self.seed if seed is None else seed,
        )
        if changed == self:
            return self
        options = repr((changed.simulation, changed.n_examples, changed.seed))
        digest = hashlib.sha256(options.encode()).hexdigest()
        changed.name = f"{self.name}-{digest[:_DIGEST_LENGTH]}"
        return changed


@dataclasses.dataclass(frozen=True)
class Generation:
    """How examples are made; what they are does not depend on it.

    Attributes:
        processes: how many work at once in a plain build.
        beam: leave the work to Apache Beam's workers.
    """

    processes: int = 1
    beam: bool = False


class SimulatedBuilder(tfds.core.GeneratorBasedBuilder):
    """A builder whose examples come out of one function, `_make`.

    Attributes:
        CHUNK: examples that a Beam worker makes at once.
        generation: set by `building.build` before the examples are made.
    """

    CHUNK: ClassVar[int] = 64
    generation = Generation()

    def _make(self) -> Make:
        """The function that makes this set's examples."""
        raise NotImplementedError

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        counts = getattr(self.builder_config, "n_examples", ())
        return {
            name: self._generate_examples(split, count)
            for split, (name, count) in enumerate(
                zip(SPLITS, counts, strict=True)
            )
        }

    def _generate_examples(self, split: int, count: int) -> Any:
        """A generator of (key, example), or a Beam transform that has them."""
        make = functools.partial(_keyed, self._make(), split)
        if self.generation.beam:
            return _beam_transform(make, count, self.CHUNK)
        return tqdm(
            make(self.generation.processes, range(count)),
            desc=SPLITS[split],
            total=count,
            unit=" fields",
            delay=2,
            leave=False,
            disable=None,  # where nobody watches
        )


def _keyed(
    make: Make, split: int, processes: int, numbers: range
) -> Iterator[tuple[int, Example]]:
    examples = make(split, numbers, processes)
    return zip(numbers, examples, strict=True)


def _beam_transform(
    make: Callable[[int, range], Iterator[tuple[int, Example]]],
    count: int,
    chunk: int,
) -> Any:
    import apache_beam as beam  # pyright: ignore[reportMissingImports]

    # One argument after the other, as `FlatMap` puts its element first.
    return (
        "Plan"
        >> beam.Create(cut_range(chunk * _CHUNKS_PER_BLOCK, range(count)))
        | "Cut" >> beam.FlatMap(functools.partial(cut_range, chunk))
        # Else the runner would fuse the steps, and a block be one worker's.
        | "Spread" >> beam.Reshuffle()
        | "Simulate" >> beam.FlatMap(functools.partial(make, 1))
    )


def cut_range(length: int, numbers: range) -> list[range]:
    """Cut a range into ranges of `length`, the last one shorter."""
    return [
        numbers[start : start + length]
        for start in range(0, len(numbers), length)
    ]
