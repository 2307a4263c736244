"""The one training loop: every objective, every network, every data set.

trainer = Trainer(load_recipe("dcgan"), open_data("faces", 32), seed=1)
stats = trainer.advance(4_000)           # until 4,000 more real images were shown
pixels = trainer.sample(latents)         # uint8 N×H×W×C; does not affect the training
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gan.data.batches import Batches
from gan.data.dataset import DataSet
from gan.errors import InputError, OutOfMemory
from gan.recipe.recipe import Recipe
from gan.tensors.device import choose_device, choose_precision, free_memory
from gan.tensors.images import to_pixels, to_unit
from gan.tensors.latents import draw_latents
from gan.training.critic import Critic
from gan.training.cuda_graph import RECORDERS, GraphedCycle
from gan.training.ema import EMA
from gan.training.optimizers import ScheduledValues, make_optimizer

COLUMNS = ("d_loss", "penalty", "g_loss", "real_score", "fake_score")
_WARM_UP_CYCLES = 5


@dataclass(frozen=True)
class CycleStats:
    """What happened in some cycles, read from the device once at their end.

    Attributes:
        history: float64 [cycles, 5]: `COLUMNS` of each cycle (one generator step).
        images: real images shown since the training began, at the end.
        images_per_second: real images shown per second; None if all cycles were warm-up.
        finite: whether every loss, and every weight of the generator at the end, is finite.
        grad_norm_g, grad_norm_d: Euclidean norms of the last step's gradients.
    """

    history: np.ndarray
    images: int
    images_per_second: float | None
    finite: bool
    grad_norm_g: float
    grad_norm_d: float

    def mean(self, column: str) -> float:
        """Return the mean of one of `COLUMNS` over the cycles; NaN if any value is, or there is no cycle."""
        return float(self.history[:, COLUMNS.index(column)].mean()) if len(self.history) else float("nan")


class Trainer:
    """One training: networks, optimisers, moving average, data position and random streams.

    Two trainers with equal arguments on one machine compute equal numbers. A trainer that was saved and loaded
    continues as if it had never stopped. On a CPU both hold to the bit, at one thread count.

    Args:
        recipe: what to train.
        data: the images (or vectors) to learn from.
        seed: determines the initial weights, the order of the data, latents and dropout.
        device: "auto", "cpu", "cuda" or any name PyTorch knows.
        precision: "auto", "fp32" or "bf16" (autocast; "auto" chooses it for images if the hardware supports it).
        graphs: replay the cycle as a CUDA graph, unless the host reads a value in it, or a part of the recipe is not
            `cuda_graph_safe`; no effect on a CPU.

    Attributes:
        images: real images shown so far.
        target_images: real images requested so far; a cycle may overshoot it.
        total_images: real images in the whole training; only schedules need it.
        cycles: generator steps so far.

    Raises:
        InputError: the network cannot generate this shape, the objective cannot train the network, or the device does
            not exist.
        OutOfMemory: the weights alone do not fit into the device's memory.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        *,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        graphs: bool = True,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.seed = seed
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device, images=data.is_image)
        _require_memory(recipe, data.shape, self.device)
        settings = recipe.training
        self._schedule = ScheduledValues(recipe.schedule, self.device)
        self._objective = self._schedule.part(recipe.objective)
        self._penalties = (self._objective, *map(self._schedule.part, recipe.penalties[1:]))
        self._augmentation = None if recipe.augmentation is None else self._schedule.part(recipe.augmentation)
        self.random = _RandomState(seed, self.device)
        with self.random.in_use():
            self.generator, self.discriminator = map(self._to_device, recipe.networks(data.shape))
            augment = None if self._augmentation is None else self._augmentation.module(data.shape).to(self.device)
        self.critic = Critic(self.discriminator, augment, joint=settings.d_batch == "joint")
        layers = (*self.generator.modules(), *self.discriminator.modules())
        self._evaluation_layers = [layer for layer in layers if not layer.training]
        self._differentiate = tuple(name for part in self._penalties for name in part.differentiates)
        if not {*self._differentiate} <= {"real", "fake"}:
            raise InputError(f"differentiates must be ('real',), ('fake',) or both, not {self._differentiate}")
        self._ema = EMA(self.generator) if settings.ema_kimg > 0 else None
        self._graphs = graphs and all(part.cuda_graph_safe for part in recipe.parts) and self.device.type in RECORDERS
        # PyTorch refuses `capturable` on devices other than a GPU.
        capturable = self._graphs and self.device.type == "cuda"
        self.optimizer_g, self.optimizer_d = (
            make_optimizer(kind, network.parameters(), self._schedule.rate(rate), settings, capturable=capturable)
            for kind, network, rate in (
                (settings.optimizer_g, self.generator, settings.lr_g),
                (settings.optimizer_d, self.discriminator, settings.lr_d),
            )
        )
        self.latents = torch.Generator(self.device).manual_seed(seed)
        self.batches = Batches(data.train, settings.batch, seed, self.device, flip=settings.flip)
        self.images = 0
        self.cycles = 0
        self.target_images = 0
        self.total_images: int | None = None
        self._clock = _Clock(self.device)
        self.forget_graph()

    # ---- training

    def advance(self, images: int) -> CycleStats:
        """Train until `images` more real images were shown, rounded up to whole cycles.

        A cycle is `n_critic` discriminator steps and one generator step. Images beyond the target count towards the
        next call, so the division of a training into calls does not affect it.
        """
        self.target_images += images
        log: list[Tensor] = []
        self._clock.start(self.images)
        self._train_mode(self.generator)
        self._train_mode(self.discriminator)
        with self.random.in_use():
            while self.images < self.target_images:
                log.append(self._cycle())
                self._clock.tick(self.images)
        return self._stats(log, self._clock.images_per_second(self.images))

    def _cycle(self) -> Tensor:
        """Train the discriminator `n_critic` times and the generator once; return this cycle's `COLUMNS`.

        The host sets scheduled values and draws the batches. The device's part can be replayed as a CUDA graph.
        """
        self._schedule.set(self.images, self.total_images)
        settings, steps = self.recipe.training, range(self.recipe.objective.n_critic)
        drawn = [self.batches.next() for _ in steps]
        drawn += [draw_latents(settings.latent, settings.batch, settings.latent_dim, self.latents) for _ in steps]
        columns = self._steps(drawn) if self._graph is None else self._graph(self._steps, drawn)
        self.images += settings.batch * len(steps)
        self.cycles += 1
        self._update_average()
        return columns

    def _steps(self, drawn: Sequence[Tensor]) -> Tensor:
        """Take all steps of a cycle; return its `COLUMNS`, still on the device.

        The generator's step reuses the real and generated images of the last discriminator step.

        Args:
            drawn: the rows of each discriminator step, then the latents of each.
        """
        n_critic = self.recipe.objective.n_critic
        for step, (rows, latents) in enumerate(zip(drawn[:n_critic], drawn[n_critic:], strict=True)):
            real = to_unit(rows) if self.data.is_image else rows
            with self._autocast(), torch.set_grad_enabled(step == n_critic - 1):
                fake = self.generator(latents)
            values = self._discriminator_step(real, fake.detach())
        values["g_loss"] = self._generator_step(real, fake)
        return torch.stack([values[column].detach() for column in COLUMNS])

    def _discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return all `COLUMNS` except g_loss."""
        objective = self._objective
        self.optimizer_d.zero_grad(set_to_none=True)
        with self._autocast():
            pair = self.critic.judge(real, fake, self._differentiate)
            loss = objective.discriminator_loss(pair)
            terms = [part.penalty(pair, self.discriminator) for part in self._penalties]
        penalties = [term for term in terms if term is not None]
        penalty = sum(penalties[1:], penalties[0]) if penalties else torch.zeros_like(loss)
        (loss + penalty if penalties else loss).backward()
        self.optimizer_d.step()
        objective.constrain(self.discriminator)
        if self._augmentation is not None and self.critic.augment is not None:
            with torch.no_grad():
                self._augmentation.adapt(self.critic.augment, pair)
        scores = {"real_score": pair.real_scores.detach().mean(), "fake_score": pair.fake_scores.detach().mean()}
        return {"d_loss": loss, "penalty": penalty} | scores

    def _generator_step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss."""
        self.optimizer_g.zero_grad(set_to_none=True)
        if self.recipe.training.g_step_statistics == "running":
            self.discriminator.eval()
        with self.critic.frozen():
            with self._autocast():
                loss = self._objective.generator_loss(self.critic.judge_generated(real, fake))
            loss.backward()
        self._train_mode(self.discriminator)
        self.optimizer_g.step()
        return loss

    def _update_average(self) -> None:
        """Move the average towards the generator, including batch-norm statistics.

        The half-life is `ema_kimg`, but at most a twentieth of the training so far, so that the initial weights are
        forgotten soon (the code of Karras et al. 2020, arXiv:1912.04958).
        """
        if self._ema is None:
            return
        half_life = min(self.recipe.training.ema_kimg * 1000, 0.05 * self.images)
        shown = self.recipe.training.batch * self.recipe.objective.n_critic
        self._ema.step(1 - 0.5 ** (shown / half_life))

    def forget_graph(self) -> None:
        """Discard the CUDA graph, so that it is recorded again. Needed after an optimiser's moments were replaced."""
        self._graph = GraphedCycle(self.device) if self._graphs else None

    def reseed(self, seed: int) -> None:
        """Restart the random streams (latents, dropout) from this seed."""
        self.random = _RandomState(seed, self.device)
        self.latents.manual_seed(seed)

    # ---- sampling

    @property
    def average(self) -> nn.Module | None:
        """The moving average of the generator, if the recipe has one."""
        return None if self._ema is None else self._ema.average

    @property
    def sampler(self) -> nn.Module:
        """The network that samples: the moving average if there is one, else the generator."""
        return self.generator if self.average is None else self.average

    @torch.no_grad()
    def sample(self, latents: Tensor) -> Tensor:
        """Return uint8 images N×H×W×C for latents N×latent_dim (float32 rows if the data is not images).

        Batch norm uses running statistics. Neither weights nor random streams of the training change.
        """
        network = self.sampler
        was_training = network.training
        network.eval()
        out: Tensor = network(latents.to(self.device))
        if was_training:
            self._train_mode(network)
        return to_pixels(out) if self.data.is_image else out.float()

    # ---- helpers

    def _train_mode(self, network: nn.Module) -> None:
        """Put a network into training mode, except layers that were created in evaluation mode."""
        network.train()
        for layer in self._evaluation_layers:
            layer.training = False

    def _to_device(self, network: nn.Module) -> nn.Module:
        return network.to(self.device).to(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _stats(self, log: list[Tensor], images_per_second: float | None) -> CycleStats:
        history = torch.stack(log).double().cpu().numpy() if log else np.zeros((0, len(COLUMNS)))
        # Samples are drawn with the running statistics, so these count too.
        state = [value.sum() for value in self.generator.state_dict().values() if value.is_floating_point()]
        return CycleStats(
            history=history,
            images=self.images,
            images_per_second=images_per_second,
            finite=bool(np.isfinite(history).all()) and bool(torch.stack(state).isfinite().all()),
            grad_norm_g=_grad_norm(self.generator),
            grad_norm_d=_grad_norm(self.discriminator),
        )


def _require_memory(recipe: Recipe, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise `OutOfMemory` if the weights and their training state do not fit into memory.

    On a CPU, allocation succeeds beyond the free memory, and the process is killed when it uses it.
    """
    free = free_memory(device)
    generator, discriminator = recipe.count_parameters(shape)
    # Each weight has a gradient and two moments; the generator's have an average too.
    needed = 4 * (4 * (generator + discriminator) + (generator if recipe.training.ema_kimg > 0 else 0))
    if free is not None and needed > free:
        raise OutOfMemory(
            f"the weights of {recipe.name} take {needed / 2**30:,.1f} GiB to train,"
            f" and {free / 2**30:,.1f} GiB of memory are free: choose a narrower network"
        )


class _RandomState:
    """A random stream of its own for what PyTorch draws from its global generators (weights, dropout).

    Trainers in one process do not disturb each other or their caller.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._gpus = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(self._gpus):
            torch.manual_seed(seed)
            self.state = self._get()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let PyTorch draw from this stream."""
        with torch.random.fork_rng(self._gpus):
            torch.set_rng_state(self.state["cpu"])
            for gpu in self._gpus:
                torch.cuda.set_rng_state(self.state["cuda"], gpu)
            try:
                yield
            finally:
                self.state = self._get()

    def _get(self) -> dict[str, Tensor]:
        gpus = [("cuda", torch.cuda.get_rng_state(gpu)) for gpu in self._gpus]
        return {"cpu": torch.get_rng_state(), **dict(gpus)}


class _Clock:
    """Measures images per second without the warm-up cycles; it waits for the device at both ends."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cycles = 0
        self._since: tuple[float, int] | None = None

    def start(self, images: int) -> None:
        self._since = (self._now(), images) if self._cycles >= _WARM_UP_CYCLES else None

    def tick(self, images: int) -> None:
        self._cycles += 1
        if self._cycles == _WARM_UP_CYCLES:
            self._since = (self._now(), images)

    def images_per_second(self, images: int) -> float | None:
        if self._since is None or images == self._since[1]:
            return None
        return (images - self._since[1]) / (self._now() - self._since[0])

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _grad_norm(network: nn.Module) -> float:
    grads = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return float(nn.utils.get_total_norm(grads)) if grads else 0.0
