"""Positions as a set of point selections of ImageJ."""

from pathlib import Path

from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi, roiwrite

from stm_keras.finding.prediction import Prediction


def write_roi_set(path: Path, prediction: Prediction) -> None:
    """Write positions as a RoiSet.zip, a point selection each.

    The names begin with the rank, so that the ROI Manager lists them by
    falling score. As here, a point of ImageJ with whole coordinates is the
    centre of a pixel.

    Args:
        path: the file.
        prediction: with one position at least: ImageJ opens no empty set.
    """
    digits = len(str(len(prediction.scores)))
    selections = []
    found = zip(prediction.positions_px, prediction.scores, strict=True)
    for rank, ((row, col), score) in enumerate(found, start=1):
        selection = ImagejRoi.frompoints(
            [(float(col), float(row))],
            name=f"{rank:0{digits}d} score {score:.4g}",
        )
        selection.roitype = ROI_TYPE.POINT
        selection.options = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        selections.append(selection)
    roiwrite(path, selections, mode="w")
