"""`stmk predict`: positions of the impurities in files."""

import json as json_text
from pathlib import Path
from typing import Any

import typer

from cli.config_file import settings_of
from cli.options import (
    DEFAULT_MODEL,
    Channel,
    Model,
    Surface,
    TrustModel,
    number_range,
    numbers,
    region_nm,
    span,
    words,
)
from cli.predict_options import (
    BeamOptions,
    Bias,
    BiasRange,
    Clip,
    Cols,
    Config,
    Direction,
    Export,
    ExtentNm,
    FalseDiscoveryRate,
    Files,
    FitRings,
    GiveQ,
    Json,
    LeaveOut,
    Level,
    MaskLines,
    MaskRadius,
    Normalise,
    Out,
    Quiet,
    Register,
    Report,
    Roi,
    Rows,
    Stack,
    Streaks,
    Surrogates,
    Terraces,
    Threshold,
    Tiling,
    TipJumps,
    Verbose,
    Waves,
)
from cli.progress import Status, progress_bar
from cli.quiet import quiet_imports, start_at_once, without_keras
from cli.stopping import KEPT, when_stopped
from stm_keras.files import check_paths
from stm_keras.models.shipped import find_card


def predict(
    context: typer.Context,
    files: Files,
    out: Out,
    surface: Surface = None,
    model: Model = DEFAULT_MODEL,
    stack: Stack = False,
    threshold: Threshold = None,
    channel: Channel = None,
    direction: Direction = "forward",
    bias: Bias = None,
    extent_nm: ExtentNm = None,
    bias_range: BiasRange = None,
    rows: Rows = None,
    cols: Cols = None,
    roi: Roi = None,
    level: Level = "plane",
    mask_lines: MaskLines = None,
    terraces: Terraces = None,
    clip: Clip = None,
    leave_out: LeaveOut = None,
    tip_jumps: TipJumps = False,
    streaks: Streaks = False,
    register: Register = False,
    normalise: Normalise = "none",
    false_discovery_rate: FalseDiscoveryRate = None,
    surrogates: Surrogates = None,
    give_q: GiveQ = True,
    fit_rings: FitRings = True,
    waves: Waves = False,
    tiling: Tiling = "overlap",
    mask_radius_nm: MaskRadius = 0.5,
    export: Export = None,
    report: Report = True,
    beam_pipeline_options: BeamOptions = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    trust_model: TrustModel = False,
) -> None:
    """Find the impurities in instrument files.

    Writes positions.csv and .json (px, nm, and the scanner's nm where the
    file tells), report.html (open it in a browser), overview.png, the mask
    of impurities as mask.tif and .npy at the file's size, measured.npy, S.npy,
    and options.yaml, with which --config does the same again. A file that is
    refused does not stop the others; the exit code is then 2.

    Examples: stmk predict scan.sxm --surface cu111 --out found;
    stmk predict night/ --out found --export all;
    stmk predict scan.sxm --surface cu111 --rows 0:128 --out top
    """
    del config  # read before all others
    status = Status(shown=not quiet)
    status.at("reading")
    check_paths(files)
    path, card = find_card(model)
    # None of this imports TensorFlow: mistakes are found at once.
    from stm_keras.io.recording import ReadOptions
    from stm_keras.maps import Region
    from stm_keras.models.checks import check_options
    from stm_keras.preprocessing.cleaning import CleaningOptions
    from stm_keras.preprocessing.preparation import PredictOptions
    from stm_keras.results.batch import FileOptions, FileResult, predict_files
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
        terraces=level != "none" if terraces is None else terraces,
        clip=level != "none" if clip is None else clip,
        leave_out=level != "none" if leave_out is None else leave_out,
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
    check_options(card, predict_options)
    output = OutputOptions(
        words(export), mask_radius_nm, report, settings_of(context)
    )
    options = FileOptions(read, predict_options, output, stack, trust_model)

    def load(model: Any) -> Any:
        status.at("loading TensorFlow and the model")
        import_quietly()
        from stm_keras.detector import load_detector

        detector = load_detector(model, trust=trust_model)
        status.at("searching")
        return detector

    told: list[dict[str, Any]] = []
    notes: list[str] = []

    def keep(result: FileResult) -> None:
        if json:
            told.append(result.as_fields())
        if verbose:
            notes.extend(f"  {note}" for note in result.notes)

    if beam_pipeline_options is None:
        lines = predict_files(
            files,
            path,
            out,
            options,
            progress=progress_bar("tiles"),
            load=load,
            report=keep,
        )
    else:
        from stm_keras.results.night import predict_with_beam

        lines = predict_with_beam(
            files,
            path,
            out,
            options,
            beam_pipeline_options,
            report=keep,
            prepare=import_quietly,
        )
    try:
        with when_stopped(lambda: _kept(out)):
            for line in lines:
                status.done()
                if not (json or quiet):
                    typer.echo("\n".join([line, *notes]))
                notes.clear()
                status.at("searching")
    finally:
        status.done()
        if told:
            typer.echo(json_text.dumps(told, indent=2))
    status.took()


def import_quietly() -> None:
    """TensorFlow, as a command needs it; a worker of Beam calls it too."""
    with quiet_imports(), without_keras():
        import stm_keras.detector  # noqa: F401

        start_at_once()


def _kept(out: Path) -> str:
    """What is left where a prediction was stopped."""
    from stm_keras.results.night import UNFINISHED

    if (out / UNFINISHED).exists():
        return (
            "The files that are done are whole. Run the same command again: "
            "it does the others."
        )
    if not (out / "summary.csv").exists():
        return KEPT
    return (
        f"The files that are done are in {out / 'summary.csv'}, whole. Run the "
        "same command on the others."
    )
