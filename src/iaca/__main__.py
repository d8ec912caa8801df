"""`iaca` and `python -m iaca`: the project's `kedro run` where only the package is installed."""

import sys
from pathlib import Path
from typing import Any

from iaca.errors import show_early

sys.excepthook = show_early  # while Kedro is imported

from kedro.framework.cli.utils import find_run_command  # noqa: E402
from kedro.framework.project import configure_project  # noqa: E402


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the `kedro run` command of this package."""
    package = Path(__file__).parent.name
    configure_project(package)
    return find_run_command(package)(*args, **kwargs)


if __name__ == "__main__":
    main()
