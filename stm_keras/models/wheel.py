"""How the models that ship get into a wheel: setuptools' `build_py`.

`saved_models/` lies beside the packages, as people who train look for it there.
A wheel has no such place; there it is the data of a package that exists in it
alone. `setup.cfg` says which files. An editable install keeps to the folder.
"""

from setuptools.command.build_py import build_py

PACKAGE = "stm_keras._models"
FOLDER = "saved_models"
SOURCE_FILES = ("CHANGELOG.md", "CITATION.cff", "README.md", "constraints.txt")


class BuildPy(build_py):
    """`build_py` with one more package, whose folder has another name."""

    def finalize_options(self) -> None:
        """Add the package once setuptools has found the others.

        Here and not in `setup.cfg`: a `package_dir` there would change how an
        editable install finds everything else.
        """
        super().finalize_options()
        self.packages = [*(self.packages or ()), PACKAGE]
        self.package_dir = {**(self.package_dir or {}), PACKAGE: FOLDER}

    def get_source_files(self) -> list[str]:
        """What an archive of the source holds, more than the packages."""
        return [*super().get_source_files(), *SOURCE_FILES]
