"""The same training curve? Float32 training is chaotic, so a run is judged statistically.

The measure is an ensemble: m reference runs of one recipe whose initial weights differ by one unit
in the last place of float32, which nothing that computes in float32 can be held to telling apart.

Early envelope. While the m curves are close, what parts them is linear in their perturbations, and
so nearly normal. The loss and the norm x_k of an early step k must satisfy

    |x_k − c_k| ≤ 8 · max(s_k, 2⁻²⁴ |c_k|)

    c_k: the value in float64; in older files, without "centre", the members' mean
    s_k: the largest relative standard deviation so far, times |c_k|: who has parted may stay away

An early step is one at which the members' losses are still within 10⁻⁴ of one another, and no later
than the 40th. The idea is the climate models' ensemble consistency test (Baker et al. 2015, "A new
ensemble-based consistency test for the Community Earth System Model").

Whole run. A statistic y of a whole run must satisfy

    |y − ȳ| ≤ max(t √(1 + 1/m) s, δ)

    ȳ, s: mean and standard deviation over the members     δ: a margin, below which runs are equal
    t: Student's t for m − 1 degrees of freedom, at 1 − α/2q     q: how many statistics there are

and the statistics are the log perplexity at the end and the epochs needed to reach given
perplexities. The idea is MLPerf's reference convergence points, which test one side only: here a
run that learns faster than it should is rejected too.

Nominal false alarms, were all this normal: α = 0.5 % for the whole run, and for the early envelope
of 40 members less than 10⁻⁶. Tails are heavier: ensembles/measured.json has what was measured.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.files import read_json
from common.storage.reading import is_list, is_object
from conformance.closeness.compare import UNIT_ROUNDOFF
from conformance.judge.ensemble_file import check_ensemble

ENSEMBLES = Path(__file__).with_name("ensembles")
MEASURED = "measured.json"

EARLY, WHOLE, FINITE = "early envelope", "whole run", "finite numbers"
END = "log perplexity at the end"
WIDENING = 8.0
"""As many spreads as the ladder allows noise floors (bounds.toml)."""

ALPHA = 0.005

MARGINS = {
    "float32": (0.002, 0.005),
    "float64": (0.002, 0.005),
    "tf32": (0.02, 0.05),
    "mixed": (0.02, 0.05),
}
"""δ by numerics: of the log perplexity at the end, and of the epochs, as a share of them.

A learning rate 5 % too high moves the end by 0.007 or more, and the time to one perplexity or other
by about 2 %. Weights and states rounded to 11 or 8 bits move them by up to 0.007 and 3.3 %.
"""

COARSE = ("tf32", "mixed")
"""Numerics whose rounding errors no float32 envelope can hold: judged by the whole run alone."""


@dataclass(frozen=True)
class Ensemble:
    """A file of ensembles/, without any text.

    text:       sha256 and characters     members: m     thresholds: perplexities, falling
    early:      "loss" and "norm", each with "centre" and "spread" (relative), one for each step
    whole:      by statistic, its value for every member
    """

    path: Path
    spec: ModelSpec
    recipe: Recipe
    text: dict[str, Any]
    made_by: dict[str, Any]
    members: int
    thresholds: list[float]
    early: dict[str, dict[str, list[float]]]
    whole: dict[str, list[float]]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def steps(self) -> int:
        """How many steps are early."""
        return len(self.early["loss"]["centre"])

    @property
    def question(self) -> dict[str, Any]:
        """What a run must have in common with it."""
        return {"spec": self.spec.to_json(), "recipe": self.recipe.to_json(), "text": self.text}


@dataclass(frozen=True)
class CurveTest:
    """One number that must lie in an interval; a NaN lies in none."""

    part: str
    name: str
    value: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        return self.low <= self.value <= self.high

    @property
    def strain(self) -> float:
        """How far the value lies from the middle of the interval; 1 at its ends."""
        half = (self.high - self.low) / 2
        distance = abs(self.value - self.low - half)
        return distance / half if half else 0.0 if self.passed else math.inf

    def __str__(self) -> str:
        between = f"{self.low:.9g} to {self.high:.9g}"
        return f"{self.part}: {self.name}: expected {between}, found {self.value:.9g}"


@dataclass(frozen=True)
class CurveVerdict:
    """What came of judging one run by one ensemble."""

    ensemble: str
    tests: list[CurveTest]

    @property
    def accepted(self) -> bool:
        return bool(self.tests) and not self.failures

    @property
    def failures(self) -> list[CurveTest]:
        return [test for test in self.tests if not test.passed]

    @property
    def rejected_by(self) -> list[str]:
        """The parts that reject the run."""
        return list(dict.fromkeys(test.part for test in self.failures))

    @property
    def reason(self) -> str:
        """Why the run is rejected, in a sentence; empty if it is not."""
        firsts = [next(t for t in self.failures if t.part == part) for part in self.rejected_by]
        others = len(self.failures) - len(firsts)
        return "; ".join([*map(str, firsts), *([f"and {others} more"] if others else [])])


def load_ensembles(folder: Path = ENSEMBLES) -> list[Ensemble]:
    """Every ensemble of a folder."""
    return [load_ensemble(path) for path in sorted(folder.glob("*.json")) if path.name != MEASURED]


def load_ensemble(path: Path) -> Ensemble:
    """Read one; BadInput if it is not whole."""
    data = read_json(path)
    check_ensemble(path, data, lambda thresholds: statistics([np.zeros(1)], thresholds))
    spec, recipe = ModelSpec.from_json(data["spec"], path), Recipe.from_json(data["recipe"], path)
    fields = ("text", "made by", "members", "thresholds", "early", "whole")
    return Ensemble(path, spec, recipe, *(data[field] for field in fields))


def find_ensemble(run: dict[str, Any], ensembles: list[Ensemble] | None = None) -> Ensemble | None:
    """The ensemble of a run's spec, recipe and text, None if there is none; of the stored ones."""
    known = load_ensembles() if ensembles is None else ensembles
    return next((found for found in known if mismatch(run, found.question) is None), None)


def mismatch(run: dict[str, Any], question: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """The first of spec, recipe and text that differs: its name, what is asked and what the run
    has. A perturbation makes no difference, and neither does a text's name."""
    asked, found = _question(question), _question(run)
    return next(((f, asked[f], found[f]) for f in asked if asked[f] != found[f]), None)


def _question(run: dict[str, Any]) -> dict[str, Any]:
    spec, recipe, text = (run.get(field) for field in ("spec", "recipe", "text"))
    recipe = recipe | {"perturbation": 0} if is_object(recipe) else recipe
    if is_object(text):
        text = {key: text.get(key) for key in ("sha256", "characters")}
    return {"spec": spec, "recipe": recipe, "text": text}


def judge_curve(run: dict[str, Any], ensemble: Ensemble) -> CurveVerdict:
    """Judge what is in a run.json by the ensemble of its recipe.

    Raises BadInput if the run is of another spec, recipe or text, is on the lattice (then digests
    are compared instead), or is not whole.
    """
    where = f"run for {ensemble.name}"
    if differs := mismatch(run, ensemble.question):
        raise BadInput(where, *differs)
    if run.get("numerics") not in MARGINS:
        raise BadInput(where, "numerics", f"one of {', '.join(MARGINS)}", run.get("numerics"))
    losses, norms = series(run, where)
    numbers = {"loss": np.concatenate(losses), "norm": np.concatenate(norms)}
    if len(numbers["loss"]) < ensemble.steps:
        raise BadInput(where, "epochs", f"{ensemble.steps} steps", len(numbers["loss"]))
    infinite = sum(int(np.count_nonzero(~np.isfinite(x))) for x in numbers.values())
    tests = [CurveTest(FINITE, "losses and norms that are not finite", infinite, 0, 0)]
    if run["numerics"] not in COARSE:
        tests += early_tests(numbers, ensemble)
    tests += _whole(statistics(losses, ensemble.thresholds), ensemble, run["numerics"])
    return CurveVerdict(ensemble.name, tests)


def early_tests(numbers: dict[str, np.ndarray], ensemble: Ensemble) -> list[CurveTest]:
    """|x_k − c_k| ≤ 8 · max(s_k, 2⁻²⁴ |c_k|); step by step, so that the first failure is first."""
    tests: list[CurveTest] = []
    for k in range(ensemble.steps):
        for quantity, bands in ensemble.early.items():
            centre, spread = bands["centre"][k], bands["spread"][k]
            half = WIDENING * max(spread, UNIT_ROUNDOFF) * abs(centre)
            found = float(numbers[quantity][k])
            name = f"{quantity} at step {k + 1}"
            tests.append(CurveTest(EARLY, name, found, centre - half, centre + half))
    return tests


def _whole(found: dict[str, float], ensemble: Ensemble, numerics: str) -> list[CurveTest]:
    """|y − ȳ| ≤ max(t √(1 + 1/m) s, δ)"""
    m, q = ensemble.members, len(ensemble.whole)
    t = student_t(1 - ALPHA / q, m - 1)
    tests: list[CurveTest] = []
    for name, members in ensemble.whole.items():
        centre, spread = float(np.mean(members)), float(np.std(members, ddof=1))
        of_the_end, of_epochs = MARGINS[numerics]
        margin = of_the_end if name == END else of_epochs * centre
        half = max(t * math.sqrt(1 + 1 / m) * spread, margin)
        tests.append(CurveTest(WHOLE, name, found[name], centre - half, centre + half))
    return tests


def series(run: dict[str, Any], where: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The losses and the norms of every epoch; BadInput unless each of the recipe's epochs is there
    with as many norms as losses."""
    rows, wanted = run.get("epochs"), run["recipe"]["epochs"]
    if run.get("status") != "finished" or not is_list(rows) or len(rows) != wanted:
        found = f"{len(rows) if is_list(rows) else 'none'}, {run.get('status')}"
        raise BadInput(where, "epochs", f"{wanted}, finished", found)
    try:
        losses, norms = ([np.array(r[k], "float64") for r in rows] for k in ("losses", "norms"))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(where, "epochs", "losses and norms in numbers", repr(error)) from None
    for number, (loss, norm) in enumerate(zip(losses, norms, strict=True), start=1):
        if loss.ndim != 1 or not loss.size or loss.shape != norm.shape:
            found = f"{loss.size} and {norm.size}"
            raise BadInput(where, f"epoch {number}", "as many losses as norms, and any", found)
    return losses, norms


def statistics(losses: list[np.ndarray], thresholds: list[float]) -> dict[str, float]:
    """The statistics of a whole run, by name, from the losses of its epochs.

    The end is the lowest fifth of the last tenth of the epochs, and at least three of them: at
    D2L's learning rate an honest run jumps for some epochs now and then, and outweighs a mean.
    """
    curve = log_perplexities(losses)
    last = np.sort(curve[-max(3, len(curve) // 10) :])
    found = {END: float(np.mean(last[: max(3, len(last) // 5)]))}
    return found | {f"epochs to perplexity {p:.6g}": epochs_to(p, curve) for p in thresholds}


def log_perplexities(losses: list[np.ndarray]) -> np.ndarray:
    """The mean loss of every epoch, whose minibatches are all of one size."""
    return np.array([np.mean(epoch) for epoch in losses])


def epochs_to(perplexity: float, curve: np.ndarray) -> float:
    """When the curve first comes down to a perplexity, between epochs by a straight line through
    their log perplexities; infinite if it never does."""
    wanted = math.log(perplexity)
    if not np.any(curve <= wanted):
        return math.inf
    k = int(np.argmax(curve <= wanted))  # epoch k + 1, and epoch k was above
    return float(k + (curve[k - 1] - wanted) / (curve[k - 1] - curve[k])) if k else 1.0


def student_t(probability: float, freedom: int) -> float:
    """The t with P(|x| ≤ t) = probability for Student's x with ν degrees of freedom: the angle θ in
    x = √ν tan θ has a density in proportion to cos^(ν−1) θ, which is summed."""
    angles = np.linspace(0, math.pi / 2, 200_001)
    area = np.cumsum(np.cos((angles[1:] + angles[:-1]) / 2) ** (freedom - 1))
    angle = np.interp(probability, area / area[-1], angles[1:])
    return math.sqrt(freedom) * math.tan(angle)
