"""The four ways of training that Fig. 4 of arXiv:2006.15898 compares."""

from dataclasses import dataclass

from stm_keras.errors import InputError

PAPER_NOISE = 0.8
PAPER_ALPHA = 0.03


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        name: on the command line and in tables.
        noise: eta, width of the white noise on the simulated fields.
        alpha: weight of the entropy on the experiment.
        colour: of its curve; the paper's.
    """

    name: str
    noise: float
    alpha: float
    colour: str


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("neither", 0.0, 0.0, "#1f5fbf"),
        Arm("noise", PAPER_NOISE, 0.0, "#8e3fb0"),
        Arm("confidence", 0.0, PAPER_ALPHA, "#e0a100"),
        Arm("both", PAPER_NOISE, PAPER_ALPHA, "#2e8b3d"),
    )
}
"""Blue, purple, yellow and green in the paper."""


def arm(name: str) -> Arm:
    """Look an arm up.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if name not in ARMS:
        raise InputError(f"Unknown arm: {name!r}. Known: {', '.join(ARMS)}.")
    return ARMS[name]
