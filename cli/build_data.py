"""`stmk build-data`: data sets as TFRecord shards."""

import typer

from cli.build_au111 import au111
from cli.build_friedel import friedel
from cli.build_scattering import scattering

app = typer.Typer(
    help="Write a data set as TFRecord shards.\n\n"
    "Example: stmk build-data friedel --out data",
    no_args_is_help=True,
)
app.command()(friedel)
app.command()(au111)
app.command()(scattering)


@app.callback()
def _group() -> None:
    """Keep `build-data` a group of commands, however few there are."""
