"""Training steps in native code: gather, forward, loss, backward, update, for many batches in one call.

A batch is cut into shards of whole groups of 16 images. Each shard sums its gradients alone; the shards are added by a
fixed tree, and with them goes the sum of the squares of all gradients. Where its root, the norm, is above a limit, the
gradient is scaled down to that: one factor for all parameters. Threads take whole shards, so results do not depend on
their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanewise.caching import Cache
from lanewise.engine import muon
from lanewise.engine.gradients import Gradients, shard_phase
from lanewise.engine.parameters import FlatParameters, Floats
from lanewise.engine.plan import GroupPlan, Planner
from lanewise.engine.schedule import Executable, Phase, Place, aligned
from lanewise.engine.share import Share
from lanewise.engine.update import AVERAGE, Update
from lanewise.errors import NetworkError
from lanewise.kernels import batchnorm, dense, gather, loss, mixing, optimizers
from lanewise.kernels.augmentation import Augment
from lanewise.lanes.program import LANES, Program
from lanewise.limits import check_memory
from lanewise.network.graph import Graph
from lanewise.network.layers import Sigmoid, Softmax
from lanewise.preprocessing import Preprocessing
from lanewise.ranks import Ranks
from lanewise.target import Target, chosen, usable_threads

Integers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How parameters are updated; learning rates are given per step.

    name : "sgd" (momentum, Nesterov or not), "adamw" (beta1 = momentum) or "muon" (for convolutions; SGD for the rest)
    ema : decay of an exponential moving average of the parameters; 0 for none
    bias_scaler : learning rate of the shifts of normalisations, in multiples of that of the rest
    clip_norm : the norm that a step's gradient has at most; a larger one is scaled down to it
    """

    name: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    beta2: float = 0.999
    epsilon: float = 1e-8
    ema: float = 0.0
    bias_scaler: float = 1.0
    clip_norm: float = math.inf


@dataclass(frozen=True, slots=True)
class Steps:
    """Batches to learn from; one row a step.

    Attributes
    ----------
    images : (steps, batch) int32, numbers of images; -1 where a batch is not full (at its end)
    labels : (steps, batch) int32
    weights : (steps, batch) float32, each image's share of the loss; 0 where absent
    learning_rates : (steps,) float32
    keys : (steps, 2) int32, (seed, epoch)
    """

    images: Integers
    labels: Integers
    weights: Floats
    learning_rates: Floats
    keys: Integers


class Trainer:
    """A network compiled for training, its parameters and the optimiser's state.

    Parameters
    ----------
    graph : Graph
        Ends in Softmax, or in Sigmoid with one output.
    parameters : list of float32 arrays, in the order of `graph.parameters`
    preprocessing : Preprocessing
    batch_size : int
    optimizer : Optimizer
    label_smoothing : float
        Label smoothing, 0 to below 1.
    augment : Augment, optional
    threads : int, optional
        All processors by default.
    winograd : bool
        Whether 3x3 and 5x5 convolutions may be computed by Winograd's method where that pays: faster, and
        with somewhat larger rounding errors (`docs/winograd.md`).
    ranks : Ranks, optional
        Processes that share each batch: all of them make the same trainer, and the same steps.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Sequence[Floats],
        preprocessing: Preprocessing,
        *,
        batch_size: int = 128,
        optimizer: Optimizer | None = None,
        label_smoothing: float = 0.0,
        augment: Augment | None = None,
        threads: int | None = None,
        winograd: bool = True,
        target: Target | None = None,
        cache: Cache | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        plan, needed = self._laid_out(
            graph, preprocessing, batch_size, optimizer, label_smoothing, augment, threads, winograd, target, ranks
        )
        check_memory("training this network", needed, batch_size)
        update = Update(
            self.layout,
            self._states,
            self._update,
            self._own_rates,
            matrices=self._matrices,
            nesterov=self.optimizer.nesterov,
            exchange=None if ranks is None else self._exchange,
        )
        self._executable = Executable(list(self._phases(plan, update)), self.target, cache)
        self._arrays = {
            "squares": aligned(LANES * update.squares.parts),
            "clipped": aligned(optimizers.CLIPPED * self.threads),
            "arena": aligned(plan.arena * self.threads // 4),
            "transformed": aligned(plan.transformed),
            "parameters": aligned(self.flat.total),
            "gradients": aligned(self.layout.scalars),
            "kept": aligned(plan.kept // 4),
            "scratch": aligned(self._scratch),
            "decay": aligned(self.flat.total),
            muon.SCRATCH: aligned(muon.scratch(self._matrices) * self.threads),
        }
        self._arrays |= preprocessing.constants | {state: aligned(self.flat.total) for state in self._carried}
        for name in ("parameters", AVERAGE):
            if name in self._arrays:
                self._arrays[name][:] = self.flat.pack(parameters)
        self._arrays["decay"][:] = self.flat.decay()
        if self._own_rates:
            self._arrays["rates"] = aligned(self.flat.total)
            self._arrays["rates"][:] = self.flat.rates(self.optimizer.bias_scaler)

    @classmethod
    def memory(
        cls,
        graph: Graph,
        preprocessing: Preprocessing,
        batch_size: int,
        *,
        threads: int | None = None,
        winograd: bool = True,
        ranks: Ranks | None = None,
    ) -> int:
        """The bytes that training takes besides images and code; nothing is compiled.

        Parameters
        ----------
        graph, preprocessing, batch_size, threads, winograd, ranks
            As for the class.
        """
        _, needed = cls.__new__(cls)._laid_out(
            graph, preprocessing, batch_size, None, 0.0, None, threads, winograd, None, ranks
        )
        return needed

    def _laid_out(
        self,
        graph: Graph,
        preprocessing: Preprocessing,
        batch_size: int,
        optimizer: Optimizer | None,
        label_smoothing: float,
        augment: Augment | None,
        threads: int | None,
        winograd: bool,
        target: Target | None,
        ranks: Ranks | None,
    ) -> tuple[GroupPlan, int]:
        """What is done for one group of images, and the bytes that all of it takes."""
        if not any(graph.trainable):
            raise NetworkError("the network has nothing to learn: no layer has weights that are not frozen or fixed")
        self.graph = graph
        self.preprocessing = preprocessing
        self.optimizer = optimizer or Optimizer()
        self.label_smoothing, self.augment = label_smoothing, augment
        self._mixed = augment is not None and augment.mixes
        self.target = target or chosen()
        self.flat = FlatParameters.of(graph)
        self.ranks, self.share = ranks, Share.of(batch_size, ranks)
        self._powers = np.ones(3)  # of momentum, beta2 and 1 - `batchnorm.RATE`, as many as steps were made
        self._steps = 0
        self.norms = np.zeros(0, np.float32)
        """The norm of the gradient of each step of the last run, before it was clipped."""

        most, own = usable_threads(threads, None), self.share.own
        self.layout = Gradients.of(graph, self.share.shards, self.share.groups_per_shard, own=own, threads=most)
        # Beside the shards there is the update, too little to share, and what large dense layers put off.
        self.threads = most if self.layout.deferred else min(most, own)
        plan = self._plan(winograd)
        scratch = self._scratch + muon.scratch(self._matrices) * self.threads
        scalars = 7 * self.flat.total + self.layout.scalars + plan.transformed + scratch
        return plan, plan.arena * self.threads + plan.kept + 4 * scalars

    @property
    def _scratch(self) -> int:
        """Scalars for slices of large dense layers."""
        layout = self.layout
        return self.threads * dense.slice_scratch(layout.shards, layout.groups) if layout.deferred else 0

    @property
    def cache(self) -> Cache:
        """The cache that served the kernels."""
        return self._executable.cache

    @property
    def vector(self) -> Floats:
        """All parameters in one flat vector, live."""
        return self._arrays["parameters"]

    @property
    def averaged(self) -> Floats:
        """The parameters to evaluate in one flat vector, live: their moving average, or without one themselves."""
        return self._arrays[AVERAGE if self.optimizer.ema else "parameters"]

    @property
    def gradients(self) -> list[Floats]:
        """The gradients of the last step, not clipped; for tests and for looking at."""
        return self.flat.unpack(self.layout.total(self._arrays["gradients"]))

    @property
    def parameters(self) -> list[Floats]:
        """Copies of all parameters, in the order of `graph.parameters`."""
        return self.flat.unpack(self.vector)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all that training carries from one step to the next, to be saved and given to `restore`.

        Returns
        -------
        dict of arrays
            The flat vectors "parameters" and "state0", with AdamW "state1", with a moving average "average", float32 of
            one length; "powers", three float64: momentum, beta2 and what running statistics keep of themselves, to the
            power of the steps made; "steps", how many those are; and "shapes", the lengths and sizes of the shapes of
            all parameters, one after the other.
        """
        vectors = {name: self._arrays[name].copy() for name in ("parameters", *self._carried)}
        sizes = [size for parameter in self.graph.parameters for size in (len(parameter.shape), *parameter.shape)]
        counts = {"steps": np.array([self._steps], np.int64), "shapes": np.array(sizes, np.int64)}
        return vectors | {"powers": self._powers.copy()} | counts

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on where another trainer of the same network and optimizer was when it gave its `state`.

        Parameters
        ----------
        state : mapping of arrays
            As `state` gives it; it is copied.

        Raises
        ------
        NetworkError
            It is of another network or optimizer; nothing was changed.
        """
        own = self.state()
        for name in own.keys() | state.keys():
            mine, given = (side.get(name) for side in (own, state))
            fits = mine is not None and given is not None and (mine.shape, mine.dtype) == (given.shape, given.dtype)
            if not fits or (name == "shapes" and not np.array_equal(own[name], state[name])):
                raise NetworkError(
                    f'the state to go on from does not fit this network and optimizer ("{name}"): build the trainer '
                    "as it was built when the state was saved"
                )
        for name in ("parameters", *self._carried):
            self._arrays[name][:] = state[name]
        self._powers = np.array(state["powers"], np.float64)
        self._steps = int(state["steps"][0])

    def start_from(self, vector: Floats, averaged: Floats) -> None:
        """Go on from these parameters, and this average of them, as if no step had been made: without momentum."""
        self.vector[:], self.averaged[:] = vector, averaged
        for name in self._states:
            self._arrays[name][:] = 0
        self._powers, self._steps = np.ones(3), 0

    def run(self, pixels: NDArray[np.generic], steps: Steps) -> tuple[Floats, Floats]:
        """Learn from `steps`; returns the loss of each image, and 1 where its class was guessed right; 0 where absent.

        `pixels` is (images, rows, columns, channels) of the format's type, C-contiguous. Then `norms` has the norm of
        each step's gradient.
        """
        count, batch = steps.images.shape
        images = self.share.by_lane(steps.images, -1, np.int32)
        labels, weights = (
            self.share.by_lane(steps.labels, 0, np.int32),
            self.share.by_lane(steps.weights, 0, np.float32),
        )
        present = images >= 0
        full = bool(present.all())
        if not full:
            # Lanes without an image compute too, with a weight of 0, and 0 times a number of the batch's own images
            # is 0, whereas those of an image outside it might be infinite.
            images = np.where(present, images, images[:, :1])
        in_step = np.full(count, self.share.groups * LANES) if full else np.count_nonzero(present, axis=1)
        norms = np.zeros((count, optimizers.CLIPPED), np.float32)
        by_lane = {"images": images, "labels": labels, "weights": weights, "present": present.astype(np.float32)}
        if self._mixed:
            by_lane["others"] = self._others(np.where(present, labels, labels[:, :1]))
        own = {name: np.ascontiguousarray(array[:, self.share.lanes]) for name, array in by_lane.items()}
        made = ("losses", "correct", "shares") if self._mixed else ("losses", "correct")
        own |= {name: np.zeros((count, self.share.lane_count), np.float32) for name in made}
        arrays = (
            self._arrays
            | own
            | {
                "pixels": pixels,
                "hyper": self._hyper(steps.learning_rates, in_step),
                "norms": norms,
                "keys": np.ascontiguousarray(steps.keys, np.int32),
            }
        )
        groups = -(-in_step // LANES).astype(np.int64) - self.layout.groups * self.share.first
        self._executable.run(arrays, steps=count, threads=self.threads, counts=groups)
        losses, correct = self.share.of_all(own["losses"], own["correct"])
        self.norms = norms[:, optimizers.NORM].copy()
        if not full:
            losses[~present], correct[~present] = 0, 0
        return losses[:, :batch], correct[:, :batch]

    def _exchange(self) -> None:
        """Add the gradients of all ranks, in the middle of a step."""
        assert self.ranks is not None
        self.ranks.add(self._arrays["gradients"][: self.layout.summed])

    def _others(self, labels: Integers) -> Integers:
        """The label of the image that each is mixed with: the next of its group, after the last the first."""
        return np.ascontiguousarray(labels.reshape(-1, LANES)[:, mixing.NEXT])

    def _hyper(self, learning_rates: Floats, images: NDArray[np.int_]) -> Floats:
        o = self.optimizer
        hyper = np.zeros((len(learning_rates), optimizers.HYPER), np.float32)
        hyper[:, 0], hyper[:, -1] = learning_rates, 1 / np.maximum(images, 1)
        hyper[:, optimizers.LIMIT] = o.clip_norm
        # One product after the other: a library's power may differ in its last bit from machine to machine.
        factors = np.tile([[o.momentum, o.beta2, 1 - batchnorm.RATE]], (len(learning_rates), 1))
        factors[0] *= self._powers
        powers = np.multiply.accumulate(factors, axis=0)
        self._powers = powers[-1]
        hyper[:, -2] = batchnorm.RATE / (1 - powers[:, 2])
        made = self._steps + np.arange(len(learning_rates))
        self._steps += len(learning_rates)
        hyper[:, -3] = 1 - np.minimum(o.ema, (1 + made) / (10 + made))
        if o.name == "muon":
            hyper[:, 0], hyper[:, 1] = muon.OTHERS * learning_rates, o.momentum
            hyper[:, optimizers.MATRIX_RATE], hyper[:, optimizers.MATRIX_DECAY] = learning_rates, o.weight_decay
        elif o.name == "sgd":
            hyper[:, 1], hyper[:, 2] = o.momentum, o.weight_decay
        else:
            hyper[:, 1:5] = o.momentum, o.beta2, o.epsilon, o.weight_decay
            hyper[:, 5:7] = 1 / (1 - powers[:, :2])
        return hyper

    def _plan(self, winograd: bool) -> GroupPlan:
        """All that is done for one group of images."""

        def per_lane(base: str) -> Place:
            return Place(
                base,
                by_step=4 * self.share.lane_count,
                by_task=4 * LANES * self.layout.groups,
                by_repeat=4 * LANES,
            )

        images, key = per_lane("images"), Place("keys", by_step=8)
        planner = Planner(
            self.graph,
            training=True,
            registers=self.target.registers,
            images=images,
            key=key,
            present=per_lane("present"),
            gradients=self.layout,
            winograd=winograd,
        )
        x, x_layout = planner.operands.value(0)
        raw = self.preprocessing
        alone = self.augment and self.augment.alone
        program = gather.gather(raw.shape, raw.kernel_type, x_layout, alone)
        keyed = [key] if alone else []
        planner.operands.call(program, Place("pixels"), images, Place("scale"), Place("offset"), *keyed, x)
        if self.augment and self.augment.mixes:
            planner.operands.call(mixing.mix(x_layout, self.augment), images, key, x, per_lane("shares"))
        last = _logits_node(self.graph)
        planner.forward(until=last)
        logits, logits_layout = planner.operands.value(last)
        dlogits, _ = planner.operands.gradient(last)
        planner.operands.call(
            self._loss(logits_layout.elements),
            logits,
            per_lane("labels"),
            per_lane("weights"),
            dlogits,
            per_lane("losses"),
            per_lane("correct"),
            *((per_lane("others"), per_lane("shares")) if self._mixed else ()),
        )
        planner.written(last)
        planner.backward(start=last)
        return planner.finish()

    def _phases(self, plan: GroupPlan, update: Update) -> Iterator[Phase]:
        """What a step does, one after the other."""
        if plan.preparations:
            yield Phase.of_kinds((1, (call,)) for call in plan.preparations)
        for number, (first, shards) in enumerate(self.layout.rounds):
            yield shard_phase(self.layout, plan.calls, plan.deferred, first, shards)
            if number + 1 < len(self.layout.rounds):
                yield Phase.of_kinds(update.sums(number))
        yield from update.phases(plan.deferred, self.target.registers, average=bool(self.optimizer.ema))

    def _loss(self, outputs: int) -> Program:
        if isinstance(self.graph.nodes[-1].layer, Sigmoid):
            if outputs != 1:
                raise NetworkError(f"a network that ends in sigmoid has one output to learn from, not {outputs}")
            return loss.sigmoid_cross_entropy(self.label_smoothing, self._mixed)
        return loss.softmax_cross_entropy(outputs, self.label_smoothing, self._mixed)

    @property
    def _carried(self) -> tuple[str, ...]:
        """The arrays besides the parameters that a step hands to the next."""
        return (*self._states, AVERAGE) if self.optimizer.ema else self._states

    @property
    def _states(self) -> tuple[str, ...]:
        """The arrays of the optimiser's state."""
        return ("state0", "state1") if self.optimizer.name == "adamw" else ("state0",)

    @property
    def _matrices(self) -> tuple[muon.Matrix, ...]:
        """What Muon updates."""
        return muon.matrices(self.graph) if self.optimizer.name == "muon" else ()

    @property
    def _own_rates(self) -> bool:
        return self.optimizer.bias_scaler != 1

    def _update(self, chunk: int, rows: int, total: int, own_rates: bool) -> Program:
        if self.optimizer.name == "adamw":
            return optimizers.adamw(chunk, rows, total, own_rates)
        return optimizers.sgd(chunk, self.optimizer.nesterov, rows, total, own_rates)


def _logits_node(graph: Graph) -> int:
    """The node whose values the loss is computed from: what the final Softmax or Sigmoid reads."""
    last = graph.nodes[-1]
    return last.inputs[0] if isinstance(last.layer, Softmax | Sigmoid) else len(graph.nodes) - 1
