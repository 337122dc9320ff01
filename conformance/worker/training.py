"""The child's side of a training run: the model, its trainer, and one epoch after another.

It runs in the worker process (__main__.py), in the environment of one framework, and answers
requests of the parent (run/training.py). The loop is D2L's ``train_ch8``: the state is zero when an
epoch starts and carried within it; perplexity is of the epoch, while the weights move.
"""

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from backends.protocol import Implementation, Workers
from common import lattice
from common.corpus import in_rows
from common.parameters import Arrays, parameter_shapes, zero_state
from common.questions import BLANK, Epoch, Question, blanked, questions, shard
from common.recipe import Recipe, initial_parameters
from common.spec import ModelSpec
from common.weights import read_arrays, save_weights, write_arrays
from conformance.cases.given import Given, load_given
from conformance.worker.agreement import ALONE, agree, fingerprint, gather, of_the_first
from conformance.worker.failure import failure

LOOKAHEAD = 2
"""So many steps are under way before the first one's loss is read, so that a device that works
beside the processor is never idle."""


class Trainee:
    """One run of one implementation, or one worker's share of it.

    job:     implementation, numerics, spec and recipe as JSON; ``settings``, what a checkpoint must
             have been made with; ``checkpoint``: where one may lie; ``digests``: "epoch" or "step"
    workers: all of them call the same methods. Each steps on its own examples of every minibatch,
             so loss, norm and parameters are the same in all; only the first one writes files
    """

    def __init__(
        self,
        job: dict[str, Any],
        given: Given,
        implementation: Implementation,
        workers: Workers = ALONE,
    ) -> None:
        self.job, self.given, self.workers = job, given, workers
        self.spec = ModelSpec.from_json(job["spec"])
        self.recipe = Recipe.from_json(job["recipe"])
        self.dtype = "float64" if job["numerics"] in ("lattice", "float64") else "float32"
        self.zero = zero_state(self.spec, self.recipe.n // workers.size, self.dtype)
        self.implementation = implementation
        self.checkpoint = Path(job["checkpoint"])
        if workers.size > 1:
            agree(workers, self.facts())
        self.load()

    def facts(self) -> dict[str, Any]:
        """What all workers must have in common before the first step."""
        settings = {k: v for k, v in self.job["settings"].items() if k != "threads"}
        texts = {"corpus": self.given.corpus.tokens, **self.given.held_out}
        initial = fingerprint(initial_parameters(self.spec, self.recipe))
        return settings | {"tokens": fingerprint(texts), "initial weights": initial}

    def load(self) -> None:
        """Begin where the first worker's checkpoint was made, or at the beginning."""
        params, self.rows = initial_parameters(self.spec, self.recipe), []
        if self.workers.rank == 0 and self.checkpoint.exists():
            found, metadata = read_arrays(self.checkpoint, ours=True)
            # Not in the file's order: a digest is over the canonical one.
            params = {name: found[name] for name in parameter_shapes(self.spec)}
            self.rows = json.loads(metadata["rows"])
        params = of_the_first(self.workers, params)
        self.rows = json.loads(gather(self.workers, json.dumps(self.rows))[0])
        self.model = self.implementation.model(self.spec, params)
        together = (self.workers,) if self.workers.size > 1 else ()
        self.trainer = self.model.trainer(self.recipe, self.zero, *together)
        self.epochs = questions(self.spec, self.recipe, self.given.corpus, len(self.rows))

    def batches(self, minibatches: Epoch) -> Iterator[Question]:
        """This worker's share of the minibatches; the state is zeroed before those that do not go
        on from the last."""
        for k, batch in enumerate(minibatches):
            if k == 0 or self.recipe.order == "random":
                self.trainer.start(self.zero)
            yield shard(batch, self.workers.rank, self.workers.size)

    def epoch(self) -> dict[str, Any]:
        """Train for one epoch and describe it; ``broken`` names a step that is not finite, or the
        last one if that is what it leaves behind."""
        minibatches = next(self.epochs)
        began = time.perf_counter()
        under_way, losses, norms, digests = deque(), [], [], []
        for question in self.batches(minibatches):
            under_way.append(self.trainer.step(*question))
            if len(under_way) == LOOKAHEAD:
                step = under_way.popleft()
                losses.append(float(step.loss))
                norms.append(float(step.norm))
            if self.job["digests"] == "step":
                if self.lost():
                    return {"broken": len(digests) + 1}
                digests.append(lattice.digest(self.trainer.parameters()))
        for step in under_way:
            losses.append(float(step.loss))
            norms.append(float(step.norm))
        for k, numbers in enumerate(zip(losses, norms, strict=True), start=1):
            if not all(map(math.isfinite, numbers)):
                return {"broken": k}
        row = {"losses": losses, "norms": norms, "tokens": minibatches.predictions}
        row["seconds"] = time.perf_counter() - began
        if self.lost():
            return {"broken": len(losses)}
        if self.recipe.lattice:
            row["digest"] = lattice.digest(self.trainer.parameters())
        if digests:
            row["digests"] = digests
        if self.workers.size > 1:
            self.check_the_others()
        if self.given.held_out:
            row["held out"] = self.held_out()
            if not all(map(math.isfinite, row["held out"].values())):
                return {"broken": len(losses)}
        self.rows.append(row)
        return row

    def check_the_others(self) -> None:
        """Raises if another worker has other parameters than this one."""
        found = gather(self.workers, fingerprint(self.trainer.parameters()))
        if other := [rank for rank, each in enumerate(found) if each != found[0]]:
            problem = f"worker {other[0]} ends it with other parameters than worker 0"
            raise RuntimeError(f"epoch {len(self.rows) + 1}: {problem}")

    def lost(self) -> str | None:
        """The first parameter that is no longer finite, or too large for the lattice."""
        largest = lattice.LARGEST if self.recipe.lattice else math.inf
        return first_beyond(largest, prefixed("parameter ", self.trainer.parameters()))

    def held_out(self) -> dict[str, float]:
        """The mean loss on each text that was held out."""
        return {name: self.loss_on(tokens) for name, tokens in self.given.held_out.items()}

    def loss_on(self, tokens: np.ndarray) -> float:
        """The mean loss over a text, without moving a weight; the state is carried. A short text
        is read in fewer rows than the recipe trains with, so that rows are ten times T or more."""
        n, T = self.recipe.n, self.recipe.T
        rows = max(1, min(n, len(tokens) // (10 * T)))
        state, total, count = zero_state(self.spec, rows, self.dtype), 0.0, 0
        for X, Y in in_rows(tokens, rows, T):
            O, state = self.model.outputs(X, state)
            O = O.astype("float64")
            shifted = O - O.max(axis=-1, keepdims=True)
            chosen = np.take_along_axis(shifted, Y[..., None], axis=-1)[..., 0]
            total += float((np.log(np.exp(shifted).sum(axis=-1)) - chosen).sum())
            count += Y.size
        return total / count

    def save(self) -> dict[str, Any]:
        """Write the checkpoint: parameters, the epochs so far, and what they were made with."""
        params = self.trainer.parameters()
        metadata = {"settings": json.dumps(self.job["settings"]), "rows": json.dumps(self.rows)}
        if self.workers.rank == 0:
            write_arrays(self.checkpoint, params, metadata)
        return {"saved": len(self.rows)}

    def finish(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write the trained weights and continue a text, greedily."""
        params = self.trainer.parameters()
        if self.workers.rank == 0:
            save_weights(Path(request["weights"]), self.spec, params)
        return {"text": self.predict(request["prefix"], request["characters"])}

    def predict(self, prefix: str, characters: int) -> str:
        """The prefix and what the model continues it with: a fresh zero state, a batch of one, and
        every time the likeliest character. Source: D2L 0.17, ``predict_ch8``. Of a model that
        restores, the prefix, in which every third character was blanked and restored."""
        vocabulary = self.given.corpus.vocabulary
        if self.recipe.task == "restore":
            return vocabulary.decode(map(int, self.restored(vocabulary.encode(prefix))))
        numbers = [int(number) for number in vocabulary.encode(prefix)]
        state = zero_state(self.spec, 1, self.dtype)
        for position in range(len(numbers) + characters - 1):
            O, state = self.model.outputs(np.array([[numbers[position]]]), state)
            if position == len(numbers) - 1:
                numbers.append(int(O[0, 0].argmax()))
        return vocabulary.decode(numbers)

    def restored(self, numbers: np.ndarray) -> np.ndarray:
        """The characters of a text, some of which the model had to guess."""
        hidden = blanked(numbers)
        asked = np.where(hidden, BLANK, numbers)
        O, _ = self.model.outputs(asked[:, None], zero_state(self.spec, 1, self.dtype))
        return np.where(hidden, O[:, 0].argmax(-1), numbers)

    def diagnose(self) -> dict[str, Any]:
        """Go back to the last good epoch, write its checkpoint, and go step by step to the first
        tensor that is not finite."""
        broken = len(self.rows) + 1
        self.load()
        while len(self.rows) < broken - 1:
            self.epoch()
        self.save()
        k, state = 0, self.zero
        for k, (X, Y, *more) in enumerate(self.batches(next(self.epochs)), start=1):
            state = self.zero if self.recipe.order == "random" else state
            tensor = self.not_finite(X, Y, state, *more)
            _, state = self.model.outputs(X, state, *more)
            state = lattice.to_lattice(state) if self.recipe.lattice else state
            norm = np.asarray(float(self.trainer.step(X, Y, *more).norm))
            tensor = tensor or first_beyond(math.inf, {"norm of the gradients": norm})
            tensor = tensor or self.lost()
            # What one worker has found ends the search of all.
            if tensor := next(filter(None, gather(self.workers, tensor or "")), None):
                return {"epoch": broken, "step": k, "tensor": tensor}
        held_out = {name: np.asarray(loss) for name, loss in self.held_out().items()}
        tensor = first_beyond(math.inf, prefixed("held-out loss on ", held_out))
        return {"epoch": broken, "step": k, "tensor": tensor or "them: it did not happen again"}

    def not_finite(self, X: np.ndarray, Y: np.ndarray, state: Arrays, *more: Any) -> str | None:
        """The first tensor of a step that is not finite, in the order they are made in."""
        O, after = self.model.outputs(X, state, *more)
        back = self.model.loss_and_gradients(X, Y, state, *more)
        made = prefixed("state ", after) | {"outputs O": O, "loss": np.asarray(back.loss)}
        return first_beyond(math.inf, made | prefixed("gradient of ", back.gradients))


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def first_beyond(largest: float, arrays: Arrays) -> str | None:
    """The first tensor with an element that is not below ``largest``, or NaN, and that element."""
    for name, array in arrays.items():
        sound = np.abs(array) < largest
        if not sound.all():
            index = tuple(int(i) for i in np.argwhere(~sound)[0])
            return f"{name}: {array[index]} at {index}" if index else f"{name}: {array[()]}"
    return None


class Training:
    """Answers the parent's requests about one run after another; "do" says what is asked."""

    def __init__(self, implementations: dict, workers: Workers = ALONE) -> None:
        self.implementations, self.workers = implementations, workers

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer; ``bad input``, ``system`` or ``crashed`` say why there is none."""
        try:
            return getattr(self, request["do"])(request)
        except Exception as error:  # whatever a framework raises is this run's result
            return failure(error, ours=True)

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        made = self.implementations[request["implementation"], request["dtype"]]
        recipe = Recipe.from_json(request["recipe"])
        if reason := made.unsupported(ModelSpec.from_json(request["spec"]), *recipe.needs):
            return {"unsupported": reason}
        given = load_given(Path(request["given"]))
        self.trainee = Trainee(request, given, made, self.workers)
        return {"rows": self.trainee.rows}

    def epoch(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.trainee.epoch()

    def save(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.trainee.save()

    def diagnose(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.trainee.diagnose()

    def finish(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.trainee.finish(request)
