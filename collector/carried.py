"""Files that are not Python and travel with the package: in it where it was installed, beside it in a checkout."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def carried(installed: str, in_checkout: str) -> Path:
    """A folder by the name that it has in the package, and by its path in a checkout."""
    folder = PACKAGE / installed
    return folder if folder.is_dir() else PACKAGE.parent / in_checkout


def grafana_folder() -> Path:
    """Dashboards and provisioning files for Grafana."""
    return carried("_grafana", "dashboards/grafana")
