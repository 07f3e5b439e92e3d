"""The network `Context` in use: probabilities, deviations, and doubts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf

from stm_keras.detections import Detections, Search
from stm_keras.detector.detector import Detector
from stm_keras.detector.tiles import largest_tiles, score_in_tiles
from stm_keras.maps import ConductanceMaps
from stm_keras.models.card import ModelCard, ProbabilitySelection
from stm_keras.nn.decoding import (
    LEAST_FRAME_PX,
    Candidates,
    find_detections,
    least_kept,
)
from stm_keras.preprocessing.merged import merged_biases
from stm_keras.preprocessing.preparation import (
    PredictOptions,
    PreparedMaps,
    to_known_pixel,
    to_likely_pixel,
)
from stm_keras.preprocessing.tall import strong_objects
from stm_keras.qpi.dispersion import given_q
from stm_keras.ring_fit import LEAST_PROBABILITY, Refit, refit_rings
from stm_keras.simulation.surrogates import phase_surrogate
from stm_keras.system import Progress, no_progress
from stm_keras.units import plainly

Rule = Callable[[np.ndarray], float]
"""From the probabilities of all detections in a stack to the least that
counts."""

_MOST_SURROGATES = 5
_ENOUGH_PX = 160_000
"""Of all surrogate maps together: five frames of nearly 180 x 180 px. They
take as long as the maps themselves, each."""

_EXTRA_MAPS = 8
"""As many maps take the memory that a tile needs but once."""
_MOST_PX = 256**2 * (16 + _EXTRA_MAPS)
"""Pixels of all maps of a tile together, these counted in: as much memory
with one map as with 16, beyond which means are taken."""
_OVERLAP_PX = 96
"""Enough: what lies further than a third of it from a pixel hardly counts
there, though the network's receptive field is larger."""

_WEIGHED = "waves count for nothing: the fit of rings has weighed them already"

_OUTPUTS = ("score", "offset", "deviation")


class ContextDetector(Detector):
    """The two-stage network: impurities surer than the threshold."""

    network = "Context"
    keeps = ProbabilitySelection

    @classmethod
    def at_network_pixel(
        cls, card: ModelCard, levelled: ConductanceMaps, options: PredictOptions
    ) -> tuple[ConductanceMaps, np.ndarray | None]:
        """See `Detector`: any pixel of the training's range will do."""
        q_rad_px = card.ring_rad_px
        if not options.give_q:
            ready = to_likely_pixel(levelled, q_rad_px, options.surface)
            return ready, np.zeros(ready.shape[0])
        ready = to_known_pixel(levelled, q_rad_px, options.surface)
        q_per_nm, note = given_q(levelled, options.surface)
        return ready.with_data(ready.data, note), q_per_nm

    @classmethod
    def least_px(cls, card: ModelCard) -> int:
        """See `Detector`."""
        del card
        return LEAST_FRAME_PX

    def search(
        self,
        prepared: PreparedMaps,
        options: PredictOptions,
        progress: Progress = no_progress,
    ) -> Detections:
        """See `Detector`; its notes say what to think of what is found."""
        maps = prepared.ready
        assert prepared.q_per_nm is not None
        q_px = prepared.q_per_nm * np.mean(maps.pixel_nm)
        score, every, fit = self._candidates(maps, q_px, options, progress)
        fitted = fit is not None and fit.believed
        physics: dict[str, np.ndarray] = {}
        judged: tuple[str, ...] = ()
        if options.waves:
            # Where the fit of rings counts, it has weighed the waves already.
            every, evidence, note = _judged(
                maps, every, prepared.q_per_nm, counts=not fitted
            )
            physics, judged = {"wave_evidence": evidence}, (note,)
        rule = self._rule(options)
        threshold = rule(every.probabilities)
        kept = every.probabilities >= threshold
        # Surrogate maps are treated as the maps were.
        surrogates = self._surrogates(maps, q_px, options, rule, fitted)
        notes = self._likeness(maps.data, q_px)
        if fit is not None:
            notes = (*notes, fit.verdict)
        notes += judged
        if options.threshold is None:
            notes += self._left_out(every.probabilities[~kept])
        if surrogates is not None:
            rate = options.false_discovery_rate
            rate = rate or self.selection.false_discovery_rate
            notes += _doubts(int(kept.sum()), surrogates, rate)
        search = Search.of(maps, score, needs_every_map=False)

        def those(chosen: np.ndarray) -> Detections:
            positions, probabilities, deviations, _ = (p[chosen] for p in every)
            return Detections(
                maps,
                positions,
                probabilities,
                threshold,
                deviations_px=deviations,
                expected_false=float((1 - probabilities).sum()),
                search=search,
                physics={name: c[chosen] for name, c in physics.items()},
            )

        return replace(
            those(kept),
            surrogates=surrogates,
            notes=notes,
            left_out=those(~kept),
        )

    def warm_up(self) -> None:
        """See `Detector`."""
        self.answer(np.ones((1, 4, 4), np.float32), np.zeros(1))

    @property
    def selection(self) -> ProbabilitySelection:
        """What a detection must reach."""
        assert isinstance(self.card.selection, ProbabilitySelection)
        return self.card.selection

    def least_kept(self, probabilities: np.ndarray) -> float:
        """The least probability of what counts in one stack.

        Args:
            probabilities: of all that was detected in it, float [n].

        Returns:
            See `stm_keras.nn.decoding.least_kept`.
        """
        own = self.selection
        return least_kept(
            probabilities,
            own.false_discovery_rate,
            own.threshold,
            own.prior_false,
        )

    def answer(
        self,
        maps: np.ndarray,
        q_rad_px: np.ndarray,
        progress: Progress = no_progress,
    ) -> np.ndarray:
        """What every pixel says of an impurity.

        A frame larger than a tile is cut, under the mean and scale of all of
        it, and put together where every tile holds what lies around. Of many
        maps means are taken, see `merged_biases`.

        Args:
            maps: float32 [V, H, W] at the network's pixel, any unit; NaN
                where not measured.
            q_rad_px: q = 2k of each map [rad/px], [V]; 0 where unknown.
            progress: told the number of tiles done and of all.

        Returns:
            See `stm_keras.nn.context.Context`, float32 [H, W, 5].
        """
        maps, q_rad_px = _merged(maps, q_rad_px)
        measured = np.isfinite(maps).astype(np.float32)
        batch = tf.constant(maps[None])
        whole = self.signatures["standardize"](maps=batch)["maps"].numpy()[0]
        q = tf.constant(q_rad_px[None].astype(np.float32))

        def run(tiles: np.ndarray) -> np.ndarray:
            # Maps and what of them was measured are cut alike, as one stack.
            visible, present = np.split(tiles, 2, axis=1)
            named = self.signatures["score_tiles"](
                maps=tf.constant(visible),
                ring=q,
                measured=tf.constant(present),
            )
            parts = [named[name].numpy() for name in _OUTPUTS]
            parts[0] = parts[0][..., None]
            return np.concatenate(parts, axis=-1)

        overlap = min(3 * self.card.reach_px, _OVERLAP_PX)
        return score_in_tiles(
            np.concatenate([whole, measured]),
            run,
            # In the outer third of the shared part a tile counts for nothing.
            largest_tiles(
                maps.shape[1:], overlap, _MOST_PX // (len(maps) + _EXTRA_MAPS)
            ),
            progress=progress,
        )

    def detect(
        self,
        maps: np.ndarray,
        q_rad_px: np.ndarray,
        *,
        fit_rings: bool = True,
    ) -> Candidates:
        """Impurities down to a low probability.

        Args:
            maps: see `answer`.
            q_rad_px: see `answer`.
            fit_rings: let a fit of rings to all maps have its say where it
                may be believed, see `refit_rings`.
        """
        output = self.answer(maps, q_rad_px)
        found = find_detections(output, LEAST_PROBABILITY)
        if not fit_rings:
            return found
        return refit_rings(maps, q_rad_px, found).detections

    def ood_score(self, maps: np.ndarray, q_rad_px: np.ndarray) -> float | None:
        """The OOD score of maps; above 1 is out of distribution.

        Args:
            maps: see `answer`.
            q_rad_px: see `answer`.

        Returns:
            See `stm_keras.nn.calibration.TrainingDistribution`; None for a
            model without one.
        """
        if "describe" not in self.signatures:
            return None
        maps, q_rad_px = _merged(maps, q_rad_px)
        described = self.signatures["describe"](
            maps=tf.constant(maps[None]),
            ring=tf.constant(q_rad_px[None].astype(np.float32)),
        )
        return float(described["unlikeness"].numpy()[0])

    def _candidates(
        self,
        maps: ConductanceMaps,
        q_rad_px: np.ndarray,
        options: PredictOptions,
        progress: Progress,
    ) -> tuple[np.ndarray, Candidates, Refit | None]:
        """The score of every pixel, all candidates, and the fit, if any."""
        output = self.answer(maps.data, q_rad_px, progress)
        # Nothing is found where no map has a measurement.
        output[~maps.measured, 0] = -np.inf
        score = np.where(maps.measured, output[..., 0], np.nan)
        found = find_detections(output, LEAST_PROBABILITY)
        if not options.fit_rings:
            return score, found, None
        fit = refit_rings(maps.data, q_rad_px, found)
        return score, fit.detections, fit

    def _rule(self, options: PredictOptions) -> Rule:
        """The user's threshold, or that of the user's or the card's rate."""
        given, rate = options.threshold, options.false_discovery_rate
        if given is not None:
            return lambda probabilities: given
        if rate is not None:
            # Asked for alone, the rate decides alone.
            return lambda probabilities: least_kept(probabilities, rate)
        return self.least_kept

    def _surrogates(
        self,
        maps: ConductanceMaps,
        q_rad_px: np.ndarray,
        options: PredictOptions,
        rule: Rule,
        fit_rings: bool,
    ) -> np.ndarray | None:
        """Detections in phase-randomised surrogate maps, float64 [s]."""
        n_surrogates = options.surrogates
        if n_surrogates is None:
            enough = -(-_ENOUGH_PX // maps.data[0].size)
            n_surrogates = min(enough, _MOST_SURROGATES)
        if n_surrogates == 0:
            return None
        rng = np.random.default_rng(0)  # the same file gives the same answer
        strong = strong_objects(maps.data, half_wave_px(q_rad_px))
        counts = []
        for _ in range(n_surrogates):
            surrogate = phase_surrogate(maps.data, rng, strong)
            found = self.detect(surrogate, q_rad_px, fit_rings=fit_rings)
            sure = found.probabilities >= rule(found.probabilities)
            counts.append(float(sure.sum()))
        return np.array(counts)

    def _likeness(
        self, maps: np.ndarray, q_rad_px: np.ndarray
    ) -> tuple[str, ...]:
        score = self.ood_score(maps, q_rad_px)
        if score is None:
            return ()
        note = (
            f"OOD score {score:.2f}; 99 of 100 maps of the training "
            "distribution are below 1"
        )
        return (f"warning: out of distribution: {note}" if score > 1 else note,)

    def _left_out(self, probabilities: np.ndarray) -> tuple[str, ...]:
        """Those not kept that are as probable as one that may be."""
        likely = probabilities[probabilities >= self.selection.threshold]
        if not len(likely):
            return ()
        return (
            f"left out: {len(likely)} more of a probability of "
            f"{likely.min():.2f} to {likely.max():.2f}, with which more of all "
            "would be expected to be false than the false-discovery rate "
            "allows; --threshold keeps them",
        )


def _judged(
    maps: ConductanceMaps,
    found: Candidates,
    q_per_nm: np.ndarray,
    *,
    counts: bool,
) -> tuple[Candidates, np.ndarray, str]:
    """Candidates, the surest first, as network and waves see them together.

    Args:
        maps: what was searched.
        found: candidates of the network.
        q_per_nm: of the maps.
        counts: whether waves change probabilities; else they only show.

    Returns:
        The candidates; the evidence of the waves of each, float64 [n]; and
        what happened, a line for the user.
    """
    from stm_keras.waves.judge import judge  # off by default, much to import

    judgement = judge(maps, found.positions, found.probabilities, q_per_nm)
    if not counts:
        return found, judgement.evidence, _WEIGHED
    order = np.argsort(-judgement.probabilities, kind="stable")
    found = found._replace(probabilities=judgement.probabilities)
    ranked = Candidates(*(part[order] for part in found))
    return ranked, judgement.evidence[order], judgement.note


def half_wave_px(q_rad_px: np.ndarray) -> float:
    """Half a wave of the LDOS [px], the mean of the maps; 0 where unknown.

    An object and its first, steepest flank end there.
    """
    known = q_rad_px[q_rad_px > 0]
    return float(np.pi / known.mean()) if known.size else 0.0


def _merged(
    maps: np.ndarray, q_rad_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return merged_biases(np.asarray(maps, np.float32), np.asarray(q_rad_px))


def in_doubt(n_found: int, surrogates: np.ndarray, rate: float) -> bool:
    """Whether the spectrum of the background makes the network find things.

    Args:
        n_found: detections; of none there is nothing to doubt.
        surrogates: detections in each surrogate [s].
        rate: false-discovery rate that was asked for.
    """
    beyond = max(1 / len(surrogates), rate * n_found)
    # A rank test, too: maps without an impurity are as one of their surrogates.
    as_many = n_found <= surrogates.max()
    return n_found > 0 and bool(surrogates.mean() > beyond or as_many)


def _doubts(
    n_found: int, surrogates: np.ndarray, rate: float
) -> tuple[str, ...]:
    if not in_doubt(n_found, surrogates, rate):
        return ()
    return (
        "warning: phase-randomised surrogate maps, of the same spectrum "
        f"without any impurity, give {plainly(surrogates.mean())} detections "
        f"each, and these gave {n_found}: do not trust them",
    )
