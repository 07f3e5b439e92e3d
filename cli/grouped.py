"""Help in groups: the options that matter first."""

from typing import Any

from typer.core import TyperCommand

READING = "Reading the file"
PART = "Searching a part"
CLEANING = "Cleaning the maps"
CERTAINTY = "What counts as an impurity"
WRITING = "What is written"
TALKING = "What is said"


class Grouped(TyperCommand):
    """A command whose help has a section for each group of options.

    Typer does so with the library rich alone, which takes longer to import
    than all else that help needs.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options of no group, then the groups."""
        sections: dict[str, list[tuple[str, str]]] = {
            "Arguments": [],
            "Options": [],
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            group = getattr(parameter, "rich_help_panel", None) or "Options"
            if parameter.param_type_name == "argument":
                group = "Arguments"
            sections.setdefault(group, []).append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)
