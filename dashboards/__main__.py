"""`python -m dashboards` writes what Grafana reads, and removes what it would not write any more."""

from dashboards.written import FOLDER, write

if __name__ == "__main__":
    for changed in write():
        print(changed.relative_to(FOLDER.parent))
