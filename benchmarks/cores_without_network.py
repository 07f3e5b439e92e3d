"""What do LoG and matched filter score on each kind of short-range core?

The experiments are those of `stmk reproduce sweep --over core`; thresholds are
tuned on others of the same kind. Run from the project's folder:

    python benchmarks/cores_without_network.py
"""

import argparse
import datetime
import os
import platform
from pathlib import Path

from stm_keras.studies.paper.experiments import load_experiments
from stm_keras.studies.paper.scores import score_without_network
from stm_keras.studies.paper.settings import CORES, ExperimentSettings
from stm_keras.studies.tables import where


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiments",
        type=Path,
        default=Path("out/reproduction-sweeps/experiments"),
        help="where they are kept; what is missing is simulated",
    )
    options = parser.parse_args()
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; seed {ExperimentSettings().seed}"
    )
    print("core     method               hit ratio, EM  Jaccard, truth")
    for core in CORES:
        experiments = load_experiments(
            ExperimentSettings(core=core), options.experiments
        )
        for row in where(score_without_network(experiments), set="shown"):
            print(
                f"{core:8} {row['method']:20} {row['hit_ratio_em']:13.3f}"
                f"  {row['jaccard_truth']:14.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
