"""One temperature for all classes and the operating thresholds, both fitted on the validation part only.

With p the model's softmax, the calibrated probabilities are softmax(log p / T), the same as dividing the logits by T
(Guo et al. 2017). The temperature is folded into the exported graph.

    python -m training.calibrate data/runs/starter-grouped
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.errors import DermqError, InvalidRequestError
from core.evaluation import metrics
from training.answers import add_json_option
from training.datasets.base import FloatArray, IntArray
from training.runs import Predictions, RunFolder
from training.scaling import apply_temperature, fit_temperature

SENSITIVITIES = (0.90, 0.95)
OPERATING_POINT = "sensitivity_90"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What validation decided: the temperature, and for each operating point the risk from which an image is flagged."""

    temperature: float
    thresholds: dict[str, float]


UNCALIBRATED = Calibration(temperature=1.0, thresholds={})


def calibrate_run(run: RunFolder) -> Calibration:
    """Fits temperature and thresholds of a run.

    Raises:
        InvalidRequestError: the run validated on its test part, so that nothing is left to fit on.
    """
    if run.split().validates_on_test:
        raise InvalidRequestError(
            f"{run.path}: its protocol validated on the test part, so nothing is held out to calibrate on; "
            "use a run of --split grouped"
        )
    return calibrate(run.predictions("validation"), run.record().malignant_indices)


def calibrate(held_out: Predictions, malignant: tuple[int, ...]) -> Calibration:
    """Fits on uncalibrated predictions. Without a malignant class there are no thresholds."""
    temperature = round(fit_temperature(held_out.labels, held_out.probabilities), 4)
    if not malignant:
        return Calibration(temperature, {})
    risks = metrics.risk(apply_temperature(held_out.probabilities, temperature), malignant)
    return Calibration(temperature, _thresholds(np.isin(held_out.labels, malignant), risks))


def _thresholds(is_malignant: np.ndarray[tuple[int], np.dtype[np.bool_]], risks: FloatArray) -> dict[str, float]:
    chosen = {}
    for share in SENSITIVITIES:
        exact = metrics.threshold_for_sensitivity(is_malignant, risks, share)
        rounded = float(np.floor(exact * 1e6) / 1e6)  # down, so that the image that set it stays flagged
        chosen[f"sensitivity_{round(share * 100)}"] = rounded
    return chosen


def summary(labels: IntArray, probabilities: FloatArray, calibration: Calibration) -> dict[str, float]:
    """Calibration error and likelihood before and after, on what it was fitted on."""
    calibrated = apply_temperature(probabilities, calibration.temperature)
    return {
        "ece_before": metrics.expected_calibration_error(labels, probabilities),
        "ece_after": metrics.expected_calibration_error(labels, calibrated),
        "nll_before": metrics.negative_log_likelihood(labels, probabilities),
        "nll_after": metrics.negative_log_likelihood(labels, calibrated),
    }


def main(arguments: list[str] | None = None, prog: str = "python -m training.calibrate") -> int:
    """`python -m training.calibrate RUN`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    add_json_option(parser)
    run = RunFolder(parser.parse_args(arguments).run)
    try:
        found = calibrate_run(run)
    except DermqError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    held_out = run.predictions("validation")
    print(json.dumps(asdict(found) | {"validation": summary(held_out.labels, held_out.probabilities, found)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
