"""What is said on the report page, in plain words."""

COLUMNS: dict[str, tuple[str, str]] = {
    "rank": ("No.", ""),
    "score": ("Score", ""),
    "row": ("Row", "px"),
    "col": ("Column", "px"),
    "x_nm": ("x", "nm"),
    "y_nm": ("y", "nm"),
    "std_x_nm": ("± x", "nm"),
    "std_y_nm": ("± y", "nm"),
    "scanner_x_nm": ("Scanner x", "nm"),
    "scanner_y_nm": ("Scanner y", "nm"),
    "species": ("Species", ""),
    "local_ood": ("Local OOD score", ""),
    "wave_evidence": ("Evidence of waves", "std"),
}
"""Heading and unit of a column; any other is shown under its own name."""

LAYERS: dict[str, str] = {
    "residual": "Residual: map less the fitted waves",
    "off_training": "Where the model is off its training",
}
"""Headings of further layers of a result; any other has its own name."""

CALIBRATION = (
    "The probabilities were calibrated on simulated maps. On real ones they "
    "can be too bold or too cautious: look at the picture before you count."
)

_MEANINGS: tuple[tuple[str, str], ...] = (
    (
        "out of distribution",
        "These maps are unlike those that the model was trained on. Its "
        "probabilities, and the number of false ones, are not to be trusted "
        "here.",
    ),
    (
        "phase-randomised surrogate maps",
        "Maps of the same waves and noise but without any impurity were "
        "searched as well, and about as much was found in them. What was "
        "found here may be chance.",
    ),
    (
        "unlike the training (local",
        "In the picture of the local score these places are above 1: look "
        "whether there is a step, a tall object or a cluster. Probabilities "
        "do not hold there.",
    ),
    (
        "show nothing that the others show",
        "Some maps of the stack hold little but noise, or another place. They "
        "were left out; all others were searched.",
    ),
    (
        "is not measured in",
        "Impurities in the places without a measurement are missing from "
        "the list.",
    ),
    (
        "cannot show the waves",
        "A pixel is too coarse for the waves around impurities. Measure a "
        "smaller frame, or with more pixels.",
    ),
    (
        "no ring of standing waves stands out",
        "No waves were recognised in the maps, so the model had to guess "
        "their scale. Give the surface, or check that waves are visible.",
    ),
    (
        "the sides of a pixel",
        "The pixels of the file are oblong; the maps were brought to square "
        "ones, and the finer direction lost detail.",
    ),
    (
        "the threshold was chosen for stacks of",
        "The model was trained with another number of maps, so the least "
        "score may be too low or too high here.",
    ),
    (
        "the tip jumped",
        "The tip changed during the scan. The jump in the signal was taken "
        "out, but the picture may differ above and below it.",
    ),
    (
        "drift not taken out",
        "The maps of the stack may be shifted against each other, which "
        "blurs the positions.",
    ),
    (
        "unfinished",
        "The measurement was stopped before it was complete: a part of the "
        "frame, or of the spectra, is missing.",
    ),
    (
        "holds noise about zero",
        "The channel that was asked for was not really recorded, and another "
        "was read in its place.",
    ),
    (
        "if mV was meant",
        "The bias in the file is very large, and its unit may be wrong. Then "
        "the waves are looked for at the wrong scale.",
    ),
    (
        "check that both show the same place",
        "Files of the stack say that they lie at different places of the "
        "sample. Maps of different places must not be stacked.",
    ),
    (
        "the image may be upside down",
        "The direction of the scan is uncertain: compare the picture with "
        "that of the instrument's own program.",
    ),
    (
        "the maps contradict --surface",
        "The standing waves in the maps are not those of the surface that was "
        "named. With the wrong one, waves are looked for at the wrong scale.",
    ),
    (
        "two biases in the header",
        "The file contradicts itself about the bias; check which is right, "
        "and give it if it is not the one taken.",
    ),
)


def meaning(warning: str) -> str:
    """What a warning means for the result; empty where it says so itself.

    Args:
        warning: a line of `Detections.warnings`.
    """
    return next((text for part, text in _MEANINGS if part in warning), "")
