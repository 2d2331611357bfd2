"""Where the project's own files lie: in a checkout beside the package, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """The folder of config groups."""
    checkout = PACKAGE.parent / "conf"
    # By a file of ours: some other `conf` may lie beside an installed package, in site-packages.
    return checkout if (checkout / "config.yaml").is_file() else PACKAGE / "conf"
