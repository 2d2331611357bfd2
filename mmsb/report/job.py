"""A report of finished runs: the page, and its figures and tables as files for papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsb.config import TARGET_PACKAGES, settings
from mmsb.report.columns import Column, Runs, columns
from mmsb.report.content import tables
from mmsb.report.files import Format, whole, write_chart, write_table
from mmsb.report.page import Form, figures, write_page
from mmsb.report.sweep import effects
from mmsb.withholding import Withhold


@settings
class Report:
    """Settings of a report.

    Attributes:
        runs: folders of finished runs, or of a sweep, which stands for all its runs.
        into: the folder that the report is written to.
        withhold: "answers" or "all": what the page is to hold no trace of.
        form: "file" (one file, pictures inside), "folder" (in chunks), or "auto": by the number of samples.
        figures: the formats that figures are written in.
        output_dir: where everything is written.
    """

    runs: Runs
    into: Path
    withhold: Withhold = "nothing"
    form: Form = "auto"
    figures: tuple[Format, ...] = ("svg", "png", "pdf")
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def write_and_print(self) -> None:
        """Write the page, the figures and the tables, and say where they are.

        Raises:
            DataError: a folder holds no finished run.
            StoreError: the disk is full or cannot be written.
        """
        found = columns(self.runs)
        with whole(self.into):
            packages = (*TARGET_PACKAGES, *self.trusted_packages)
            page = write_page([column.run for column in found], self.into, self.withhold, self.form, packages)
            self._files(found)
        print(f"page: {page.absolute().as_uri()}")
        print(f"figures: {self.into / 'figures'}\ntables: {self.into / 'tables'}")

    def _files(self, found: Sequence[Column]) -> None:
        changes = effects([column.run for column in found])
        for name in ("figures", "tables"):
            (self.into / name).mkdir(parents=True, exist_ok=True)
        for figure in figures(found, changes):
            write_chart(figure.chart, self.into / "figures" / figure.name, self.figures)
        for table in tables(found, changes):
            write_table(table, self.into / "tables")
