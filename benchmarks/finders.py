"""Finders side by side on the same maps: `stmk bench`, by another name.

    python benchmarks/finders.py --quick

Options, suites and files are those of `stmk bench --help`.
"""

import sys

from cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
