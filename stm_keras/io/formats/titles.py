"""What the titles and notes of analysis programs say: direction and bias.

Programs that hold images of any instrument have no field for these; people
and importers write them into texts such as "dI/dV 50 mV (Forward)".
"""

import math
import re
from collections.abc import Mapping

from stm_keras.io.channels import channel_key
from stm_keras.io.options import Direction
from stm_keras.io.si_units import volts_per

_WORDS: dict[str, Direction] = {
    **dict.fromkeys(("forward", "fwd", "trace", "forwards"), "forward"),
    **dict.fromkeys(("backward", "bwd", "retrace", "backwards"), "backward"),
}
# Behind a blank or sign, or as "Trace" in "HeightTrace", not in "subtrace".
_DIRECTION = re.compile(
    r"[\s_\-,:]*(?:[\s_\-,:(\[]|(?<=[a-z0-9])(?=(?-i:[TRFB])[a-z])|^)"
    r"(forwards?|backwards?|fwd|bwd|retrace|trace)[)\]]?$",
    re.IGNORECASE,
)
_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
_TITLE_BIAS = re.compile(
    rf"[\s_,@=(\[]*(?:\b(?:bias|V)\s*=\s*)?(?<![a-zA-Z0-9.])({_NUMBER})\s*"
    r"([kmuµμ]?V|meV|eV)\b[)\]]?"
)
_VALUE = re.compile(rf"\s*({_NUMBER})\s*([^\W\d_]+)?")
_KEY_UNIT = re.compile(r"[(\[]\s*([^)\]]+)\s*[)\]]")
# The bias of the sample; one of the tip has the other sign.
_BIAS_KEYS = (
    *("bias", "biasvoltage", "samplebias", "vgap", "gapvoltage", "vbias"),
    *("biasbias", "samplevoltage", "biasvolt", "tunnelbias", "biasvalue"),
    *("surfacevoltage", "tunnelingvoltage", "tunnellingvoltage", "gapbias"),
)


def title_parts(title: str) -> tuple[str, Direction, float]:
    """Name, direction and bias [V] in a title; NaN where it tells no bias.

    Example:
        >>> title_parts("dI/dV (Backward) 0.1 V")
        ('dI/dV', 'backward', 0.1)
    """
    name, bias_v = split_bias(split_direction(title)[0])
    if split_direction(title)[0] != title.strip():
        return name, split_direction(title)[1], bias_v
    return (*split_direction(name), bias_v)


def split_direction(title: str) -> tuple[str, Direction]:
    """The name without the direction of the scan; "forward" where none is.

    Example:
        >>> split_direction("Z (Backward)"), split_direction("HeightTrace")
        (('Z', 'backward'), ('Height', 'forward'))
    """
    match = _DIRECTION.search(title.strip())
    if match is None:
        return title.strip(), "forward"
    name = title.strip()[: match.start()].rstrip(" _-,:([")
    return name or title.strip(), _WORDS[match[1].lower()]


def split_bias(title: str) -> tuple[str, float]:
    """The name without the bias in it, and that [V]; NaN where none is.

    Example:
        >>> split_bias("dI/dV at -50 mV")
        ('dI/dV', -0.05)
    """
    match = _TITLE_BIAS.search(title)
    unit = None if match is None else volts_per(match[2])
    if match is None or unit is None:
        return title, math.nan
    rest = title[: match.start()] + title[match.end() :]
    name = re.sub(r"\s+(at|@)\s*$", "", rest).strip(" _,@=()[]")
    return name or title, _number(match[1]) * unit


def bias_of(texts: Mapping[str, str]) -> float:
    """The sample bias [V] among texts by name; NaN where none tells.

    Units come from the value ("50 mV") or the name ("Bias (mV)"), and are V
    where neither has one.

    Example:
        >>> bias_of({"Bias (mV)": "-20", "Scan angle": "3 deg"})
        -0.02
    """
    keys = {_bias_key(name): name for name in texts}
    for key in _BIAS_KEYS:
        if key not in keys:
            continue
        name = keys[key]
        match = _VALUE.match(texts[name])
        if match is None:
            continue
        within = _KEY_UNIT.search(name)
        unit = match[2] or (within[1] if within else "V")
        factor = volts_per(unit)
        if factor is not None:
            return _number(match[1]) * factor
    return math.nan


def _bias_key(name: str) -> str:
    """The key of "Bias>Bias (V)" or "Bias [mV]", without unit and signs."""
    return channel_key(_KEY_UNIT.sub("", name))


def _number(text: str) -> float:
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else math.nan
