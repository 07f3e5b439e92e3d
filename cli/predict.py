"""`stmk predict`: positions of the impurities in files."""

from pathlib import Path

import typer

from cli.options import (
    DEFAULT_MODEL,
    Channel,
    Surface,
    TrustModel,
    number_range,
    numbers,
    region_nm,
    span,
    words,
)
from cli.predict_options import (
    Bias,
    BiasRange,
    Cols,
    Direction,
    Export,
    ExtentNm,
    FalseDiscoveryRate,
    Files,
    FitRings,
    GiveQ,
    Level,
    MaskLines,
    MaskRadius,
    Model,
    Normalise,
    Out,
    Register,
    Roi,
    Rows,
    Stack,
    Streaks,
    Surrogates,
    Threshold,
    Tiling,
    TipJumps,
    Waves,
)
from cli.progress import progress_bar
from cli.quiet import quiet_imports
from cli.stopping import KEPT, when_stopped


def predict(
    files: Files,
    out: Out,
    model: Model = DEFAULT_MODEL,
    surface: Surface = None,
    channel: Channel = None,
    direction: Direction = "forward",
    bias: Bias = None,
    bias_range: BiasRange = None,
    extent_nm: ExtentNm = None,
    stack: Stack = False,
    rows: Rows = None,
    cols: Cols = None,
    roi: Roi = None,
    level: Level = "plane",
    mask_lines: MaskLines = None,
    tip_jumps: TipJumps = False,
    streaks: Streaks = False,
    register: Register = False,
    normalise: Normalise = "none",
    tiling: Tiling = "overlap",
    threshold: Threshold = None,
    false_discovery_rate: FalseDiscoveryRate = None,
    surrogates: Surrogates = None,
    give_q: GiveQ = True,
    fit_rings: FitRings = True,
    waves: Waves = False,
    mask_radius_nm: MaskRadius = 0.5,
    export: Export = None,
    trust_model: TrustModel = False,
) -> None:
    """Find the impurities in instrument files.

    Writes positions.csv and .json (px, nm, and the scanner's nm where the
    file tells), overview.png, the mask of impurities as mask.tif and .npy at
    the file's size, measured.npy, and S.npy. A file that is refused does not
    stop the others; the exit code is then 2.

    Examples: stmk predict scan.sxm --surface cu111 --out found;
    stmk predict night/ --out found --export all;
    stmk predict scan.sxm --surface cu111 --rows 0:128 --out top
    """
    with quiet_imports():
        from stm_keras.io.recording import ReadOptions
        from stm_keras.maps import Region
        from stm_keras.preprocessing.cleaning import CleaningOptions
        from stm_keras.preprocessing.preparation import PredictOptions
        from stm_keras.results.batch import FileOptions, predict_files
        from stm_keras.results.folder import OutputOptions
    read = ReadOptions(
        channel=channel,
        direction=direction,
        bias_v=numbers(bias, "--bias"),
        extent_nm=number_range(extent_nm, "--extent-nm"),
    )
    region = Region(
        span(rows, "--rows"), span(cols, "--cols"), region_nm(roi, "--roi")
    )
    cleaning = CleaningOptions(
        level=level,
        mask_lines=level != "none" if mask_lines is None else mask_lines,
        tip_jumps=tip_jumps,
        streaks=streaks,
        register=register,
        normalise=normalise,
    )
    predict_options = PredictOptions(
        surface=surface,
        cleaning=cleaning,
        tiling=tiling,
        threshold=threshold,
        region=region,
        bias_range_v=number_range(bias_range, "--bias-range"),
        false_discovery_rate=false_discovery_rate,
        surrogates=surrogates,
        give_q=give_q,
        fit_rings=fit_rings,
        waves=waves,
    )
    output = OutputOptions(words(export), mask_radius_nm)
    options = FileOptions(read, predict_options, output, stack, trust_model)
    lines = predict_files(
        files, model, out, options, progress=progress_bar("tiles")
    )
    with when_stopped(lambda: _kept(out)):
        for line in lines:
            typer.echo(line)


def _kept(out: Path) -> str:
    """What is left where a prediction was stopped."""
    if not (out / "summary.csv").exists():
        return KEPT
    return (
        f"The files that are done are in {out / 'summary.csv'}, whole. Run the "
        "same command on the others."
    )
