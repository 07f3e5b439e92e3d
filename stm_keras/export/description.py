"""What an exported model takes, gives and refuses, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from stm_keras.export.endpoints import OUTPUTS, Endpoint
from stm_keras.export.refusals import RING_RAD_PX
from stm_keras.model_card import ModelCard
from stm_keras.nn.context import LEAST_FRAME_PX
from stm_keras.nn.locating import MOST


def described(
    endpoints: Iterable[Endpoint],
    outputs: Mapping[str, Mapping[str, Any]],
    card: ModelCard,
) -> dict[str, Any]:
    """For the assets of a SavedModel.

    Args:
        endpoints: what it can be asked.
        outputs: names of what each gives, by the signature's name.
        card: of the model.

    Returns:
        `signatures`, each with what it is `about`, its `inputs` and
        `outputs`; and `limits`, what the graph refuses or leaves out.
    """
    return {
        "signatures": {
            endpoint.name: {
                **endpoint.documented,
                "outputs": {n: OUTPUTS[n] for n in outputs[endpoint.name]},
            }
            for endpoint in endpoints
            if not endpoint.internal
        },
        "limits": _limits(card),
    }


def _limits(card: ModelCard) -> dict[str, str]:
    low, high = card.ring_rad_px
    trained = f"between {low:.3g} and {high:.3g} rad/px"
    if card.detection is not None:
        least, most = RING_RAD_PX
        own = {
            "H, W": f"{LEAST_FRAME_PX} px or more",
            "ring_per_nm": "times pixel_nm, the largest of a frame must lie "
            f"between {least} and {most:.2f} rad/px; the training's {trained}",
        }
    else:
        own = {
            "H, W": f"{card.reach_px + 1} px or more",
            "pixel_nm": "of a size that 2k lies, as the training's, "
            f"{trained}: `stmk prepare` makes such maps",
        }
    return {
        "K": f"{MOST} positions; `left_out` counts those that do not fit",
        "V": "1 or more",
        **own,
    }
