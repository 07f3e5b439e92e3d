"""What an experiment does to maps: from which ranges it is drawn."""

from dataclasses import dataclass

from stm_keras.simulation.ranges import Range


@dataclass(frozen=True)
class EffectRanges:
    """What is drawn for a sample; ranges are (low, high), amplitudes uniform.

    Amplitudes are in units of the spread of the clean maps.

    Attributes:
        white: standard deviation of white noise.
        smooth: likewise of noise that is smooth along the scan line, as that
            of real scans is.
        smooth_px: its correlation length along the line [px].
        correlated: likewise of noise with a power spectrum q^-slope.
        slope: of that spectrum, no unit.
        lines: standard deviation of the scan lines' offsets.
        tilt: largest change by a plane across the frame.
        jump: largest step by which a change of the tip moves what follows.
        jump_share: share of maps with such a change.
        blur_px: standard deviation of the tip's blur [px].
        drift_px: largest displacement between maps of a stack [px].
        gain: factor of a map against the others of its stack (set point).
        missing_share: share of samples with a band that is not measured.
        holes_share: share of samples with discs in which nothing is seen,
            filled with the mean around them of what was measured, anywhere.
        blanked_share: share of these in which every impurity lies in a disc,
            too: its waves alone tell which of the discs hold one.
        holes_per_px2: number of these discs for each px^2.
        holes_px: their radius [px].
        surrogate_share: share of samples whose phases are drawn at random in
            Fourier space, the same turn for all maps of a sample: what is left
            has the spectrum of rings, and no impurity.
        unknown_share: share of samples whose wave numbers are not told.
        wrong_share: share of samples whose wave numbers are told wrongly.
        wrong: largest relative error of these.
    """

    white: Range = (0.0, 0.8)
    smooth: Range = (0.0, 0.4)
    smooth_px: Range = (0.5, 3.0)
    correlated: Range = (0.0, 0.7)
    slope: Range = (1.0, 2.5)
    lines: Range = (0.0, 0.3)
    tilt: Range = (0.0, 0.3)
    jump: Range = (0.0, 1.0)
    jump_share: float = 0.15
    blur_px: Range = (0.0, 0.7)
    drift_px: Range = (0.0, 0.7)
    gain: Range = (0.7, 1.4)
    missing_share: float = 0.15
    holes_share: float = 0.4
    holes_per_px2: Range = (0.002, 0.03)
    holes_px: Range = (0.5, 2.5)
    blanked_share: float = 0.5
    surrogate_share: float = 0.2
    unknown_share: float = 0.25
    wrong_share: float = 0.25
    wrong: float = 0.12
