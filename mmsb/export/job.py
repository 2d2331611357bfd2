"""An export of finished runs: which, in which form, and where to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmsb.config import settings
from mmsb.export.inspect_log import write_logs
from mmsb.export.table import write_csv, write_dataset, write_parquet
from mmsb.report.columns import Runs, columns
from mmsb.report.files import whole

WRITERS = {"inspect": write_logs, "csv": write_csv, "parquet": write_parquet, "hf": write_dataset}


@settings
class Export:
    """Settings of an export.

    Attributes:
        runs: folders of finished runs, or of a sweep, which stands for all its runs.
        format: "inspect", "csv", "parquet" or "hf".
        into: the folder that it is written to.
        output_dir: where everything is written.
    """

    runs: Runs
    format: Literal["inspect", "csv", "parquet", "hf"]
    into: Path
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def write_and_print(self) -> None:
        """Write the files and say how to read them.

        Raises:
            DataError: a folder holds no finished run.
            StoreError: the disk is full or cannot be written.
        """
        found = columns(self.runs)
        with whole(self.into):
            self.into.mkdir(parents=True, exist_ok=True)
            line = WRITERS[self.format](found, self.into)
        print(line)
