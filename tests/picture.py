"""`make picture`: docs/simulate.svg, what `simulate` shows while it runs, of a private collector. For the README."""

import subprocess
import sys

from tests.harness.engines import Engines, folder
from tests.harness.server import REPOSITORY, ServerProcess

PICTURE = REPOSITORY / "docs" / "simulate.svg"
RUN = ("all", "--seed", "4", "--stages", "10s:200,15s:600,0s:400,10s:400", "--verify")


def main() -> int:
    """Run, draw, and return the exit status."""
    engines = Engines()
    engine = engines.best()
    if engine is None:
        print("there is no PostgreSQL to run on: pip install 'collector[embedded]'", file=sys.stderr)
        return 2
    try:
        with (
            folder("picture") as path,
            engine.private_server() as database,
            ServerProcess(database.url, path / "collector.log") as server,
        ):
            command = [sys.executable, "-m", "simulation.cli", *RUN, "--url", server.url, "--picture", str(PICTURE)]
            return subprocess.run(command, cwd=REPOSITORY, check=False).returncode
    finally:
        engines.close()


if __name__ == "__main__":
    sys.exit(main())
