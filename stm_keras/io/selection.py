"""From everything a file holds to the one quantity that is used.

dI/dV where it was recorded; its numerical derivative where only I(V) was;
the topograph where neither was. `provenance` always says which and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d

from stm_keras.errors import InputError
from stm_keras.io.channels import (
    channel_key,
    didv_candidates,
    is_copy,
    is_flat,
    is_internal_lock_in,
    listed,
    named_channels,
    quantity,
    silence,
    topographs,
)
from stm_keras.io.recording import (
    MOST_BIAS_V,
    Channel,
    ReadOptions,
    Recording,
)
from stm_keras.maps import ConductanceMaps, finite_or_nan

_WINDOW = 5
_ORDER = 2
_EVEN = 1e-3  # relative deviation of steps that rounding in a file may make

DERIVATIVE = "derivative"
"""What to ask for to have the current differentiated, lock-in or not."""


def differentiate(
    current: ArrayLike, bias_v: ArrayLike
) -> tuple[NDArray[np.float64], str]:
    """Differentiate I(V) at every pixel.

    Evenly spaced biases: the slope of the parabola that fits five
    neighbouring points best (Savitzky and Golay, Anal. Chem. 36, 1627 (1964),
    doi:10.1021/ac60214a047), which lets 45 % of the noise of central
    differences through. Uneven or fewer than five: second-order differences.

    Args:
        current: I, [V, H, W] [A]; NaN or infinite is "not measured".
        bias_v: [V] [V], rising or falling.

    Returns:
        dI/dV, float64 [V, H, W] [S], NaN where a point it rests on is; and
        how it was made, for `provenance`.

    Raises:
        InputError: for fewer than three biases, or biases that do not rise
            or fall throughout.
    """
    values = np.array(current, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    bias = np.asarray(bias_v, dtype=np.float64)
    steps = np.diff(bias)
    if bias.size < 3 or not (np.all(steps > 0) or np.all(steps < 0)):
        raise InputError(
            "dI/dV needs I(V) at three or more biases that rise or fall "
            f"throughout. Received {bias.size} biases. Choose another channel "
            "with --channel."
        )
    step = steps.mean()
    even = bool(np.all(np.abs(steps - step) <= _EVEN * abs(step)))
    if even and bias.size >= _WINDOW:
        # At the ends of the sweep one fit serves all of its points, and
        # NaN at one pixel would reach all others through its solver.
        from scipy.signal import savgol_filter  # half a second to import

        missing = np.isnan(values)
        slope = np.asarray(
            savgol_filter(
                np.where(missing, 0, values), _WINDOW, _ORDER, 1, step, axis=0
            )
        )
        near = maximum_filter1d(
            missing.astype(np.uint8), 2 * _WINDOW - 1, axis=0, mode="nearest"
        )
        slope[near > 0] = np.nan
        return slope, f"numerical derivative over V, {_WINDOW} points"
    slope = np.asarray(np.gradient(values, bias, axis=0, edge_order=2))
    return slope, "numerical derivative over V, differences of second order"


@dataclass(frozen=True, eq=False)
class Selection:
    """A chosen channel.

    Attributes:
        channel: the one to read.
        reason: why, for `provenance`.
        derive: whether to take its derivative over the bias.
        doubt: what a user should know of it; empty for nothing.
    """

    channel: Channel
    reason: str
    derive: bool = False
    doubt: str = ""


def select_maps(recording: Recording, options: ReadOptions) -> ConductanceMaps:
    """Read the channel that is asked for, or else the most telling one.

    Args:
        recording: the file.
        options: `channel` (a name, "topograph" or "derivative") and
            `direction` choose; `bias_v` and `extent_nm` take the place of
            what the file says.

    Raises:
        InputError: for an unknown channel, one not recorded in the
            direction, where no channel suits, or where the file tells no
            bias or extent and none is given.
        OSError: where the file cannot be read.
    """
    chosen = select_channel(recording, options)
    channel = chosen.channel
    bias = channel.bias_v if options.bias_v is None else options.bias_v
    extent = options.extent_nm or recording.extent_nm
    if len(bias) != len(channel.bias_v):
        raise InputError(
            f"{recording.source}: {len(channel.bias_v)} maps need as many "
            f"biases. Received: {len(bias)}. Give one bias in V for each map."
        )
    if extent is None or not np.isfinite(bias).all():
        raise _untold(recording, np.asarray(bias), extent is None)
    values, unit, steps = channel.load(), channel.unit, list[str]()
    if channel.direction != options.direction:
        steps.append(
            f"warning: {channel.name} {options.direction} holds noise about "
            f"zero; read {channel.direction} instead"
        )
    largest = float(np.abs(bias).max())
    if largest > MOST_BIAS_V and options.bias_v is None:
        steps.append(
            f"warning: the file's bias is {largest:g} V; if mV was meant, give "
            "--bias in V"
        )
    if chosen.doubt:
        steps.append(f"warning: {chosen.doubt}")
    if chosen.derive:
        values, step = differentiate(values, np.asarray(bias))
        unit = "S"
        steps.append(step)
    data, infinite = finite_or_nan(values)
    return ConductanceMaps(
        data=data,
        bias_v=np.asarray(bias),
        extent_nm=extent,
        channel=f"d({channel.name})/dV" if chosen.derive else channel.name,
        unit=unit,
        source=recording.source,
        placement=recording.placement,
        provenance=(
            *recording.history,
            f"read from a {recording.format}, {channel.direction}",
            f"channel {channel.name or 'without a name'}: {chosen.reason}",
            *([channel.note] if channel.note else []),
            *recording.notes,
            *steps,
            *options.notes(),
            *infinite,
        ),
    )


def _untold(
    recording: Recording, bias_v: NDArray[np.float64], no_extent: bool
) -> InputError:
    """The error for what a file does not tell, all of it at once."""
    known = np.isfinite(bias_v)
    untold, options = list[str](), list[str]()
    if not known.all():
        untold.append(f"the bias of map {int(np.argmin(known))}")
        options.append(f"--bias, of all its {bias_v.size} map(s), in V")
    if no_extent:
        untold.append("its size")
        options.append("--extent-nm, height and width in nm")
    return InputError(
        f"{recording.source}: the file does not say {' and '.join(untold)}. "
        f"Give {' and '.join(options)}."
    )


def select_channel(recording: Recording, options: ReadOptions) -> Selection:
    """Choose a channel; see `select_maps`."""
    if options.channel is None:
        return _chosen(recording, options)
    channels = recording.channels
    if channel_key(options.channel) == DERIVATIVE:
        current = _current_sweep(recording, options)
        if current is None:
            raise InputError(
                f"{recording.source}: no current over a bias sweep to "
                f"differentiate. Its channels: {listed(channels)}."
            )
        return Selection(current, "differentiated, as asked for", derive=True)
    places = named_channels(recording.source, channels, options.channel)
    channel = _of_direction(recording, [channels[i] for i in places], options)
    silent = channel.lock_in_off and is_internal_lock_in(channel)
    doubt = ", though the file says lock-in off" if silent else ""
    return Selection(channel, f"as asked for{doubt}")


def lock_in_faults(recording: Recording) -> dict[str, str]:
    """Why the dI/dV channels of a file carry no signal, by name.

    Args:
        recording: the file.

    Returns:
        A reason for each channel that is dI/dV by its name and carries none.
    """
    channels = recording.channels
    names = dict.fromkeys(
        channels[index].name for index in didv_candidates(channels)
    )
    faults = {name: _fault(recording, name) for name in names}
    return {name: fault for name, fault in faults.items() if fault}


def _chosen(recording: Recording, options: ReadOptions) -> Selection:
    channels = recording.channels
    if recording.curated and len({channel.name for channel in channels}) == 1:
        only = _of_direction(recording, channels, options)
        return Selection(only, "the only one")
    refused: dict[str, str] = {}
    for index in didv_candidates(channels):
        name = channels[index].name
        if name in refused:
            continue
        if fault := _fault(recording, name):
            refused[name] = fault
            continue
        same = [channel for channel in channels if channel.name == name]
        by = "name" if quantity(name, "") == "didv" else "unit"
        reason = f"a dI/dV channel by its {by}"
        channel = _of_direction(recording, same, options)
        if other := _louder(channel, same):
            reason += f", {other.direction}"
            channel = other
        return Selection(channel, reason)
    reasons = [f"{name}: {fault}" for name, fault in refused.items()]
    why = f"no usable dI/dV ({'; '.join(reasons) or 'none recorded'})"
    current = _current_sweep(recording, options)
    if current is not None:
        return Selection(current, f"I(V), as there is {why}", derive=True)
    heights = [channels[index] for index in topographs(channels)]
    varying = [channel for channel in heights if not is_flat(channel.load())]
    if varying:
        channel = _of_direction(recording, varying, options)
        return Selection(channel, f"the topograph, as there is {why}")
    if heights or recording.feedback is False:
        currents = [
            channel
            for channel in channels
            if quantity(channel.name, channel.unit) == "current"
            and not is_flat(channel.load())
        ]
        if currents:
            channel = _of_direction(recording, currents, options)
            return Selection(
                channel,
                f"the current, as there is {why} and the height is constant",
                doubt=f"at constant height: {channel.name} is used, not "
                "the height",
            )
    missing = "the topograph has one value" if heights else "no topograph"
    raise InputError(
        f"{recording.source}: {why} and {missing}. Choose with --channel "
        f"among: {listed(channels)}."
    )


def at_constant_height(recording: Recording) -> bool:
    """Whether a file's maps were taken with the feedback off."""
    if recording.feedback is not None and not recording.feedback:
        return True
    heights = topographs(recording.channels)
    return bool(heights) and all(
        is_flat(recording.channels[index].load()) for index in heights
    )


def _fault(recording: Recording, name: str) -> str:
    """Why the lock-in channel of a name is no dI/dV; "" where it is."""
    channels = recording.channels
    same = [channel for channel in channels if channel.name == name]
    if any(c.lock_in_off and is_internal_lock_in(c) for c in same):
        return "the file says lock-in off"
    images = [channel.load() for channel in same]
    if fault := silence(images[:2]):
        return fault
    for channel in channels:
        of_current = quantity(channel.name, channel.unit) == "current"
        if not of_current or channel.sweep:
            continue
        # At a constant height the current is a signal, and dI/dV may well
        # look like it.
        if (
            channel.direction == same[0].direction
            and is_copy(images[0], channel.load())
            and not at_constant_height(recording)
        ):
            return f"a copy of {channel.name}, the feedback's error"
    return ""


def _louder(channel: Channel, same: Sequence[Channel]) -> Channel | None:
    """Another direction, where it alone carries a signal."""
    others = [other for other in same if other.direction != channel.direction]
    if not others or not silence([channel.load()]):
        return None
    return next((o for o in others if not silence([o.load()])), None)


def _current_sweep(
    recording: Recording, options: ReadOptions
) -> Channel | None:
    found = [
        channel
        for channel in recording.channels
        if channel.sweep and quantity(channel.name, channel.unit) == "current"
    ]
    return _of_direction(recording, found, options) if found else None


def _of_direction(
    recording: Recording, same: Sequence[Channel], options: ReadOptions
) -> Channel:
    for channel in same:
        if channel.direction == options.direction:
            return channel
    raise InputError(
        f"{recording.source}: channel {same[0].name} was not recorded "
        f"{options.direction}. Choose the other direction with --direction."
    )
