"""The MLP as a LightningModule, for classification and regression."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn

from lightsweep.data.splits import Scaler
from lightsweep.model.embeddings import Embeddings
from lightsweep.model.layers import NTKLinear, fit_layers
from lightsweep.model.mlp import MLP, check_is_one_of
from lightsweep.model.multi_batch import Batch, MultiBatchModule, OptimizerFactory
from lightsweep.model.objectives import objective_of
from lightsweep.model.schedules import FACTORS
from lightsweep.task import Task

N_ROWS_TO_FIT = 4096  # for the first weights of an `NTKLinear`


class MLPModule(MultiBatchModule):
    """The MLP with its loss and metrics: logs `train/loss`, and `METRICS` of the task once per validation and test.

    Shape: a batch is `(x, y)`. `x` is `(batch, d_in)`: `n_numbers` numeric features, booleans (0 or 1), and a category
    code for each of `cardinalities`. If `n_numbers` is None, all columns but the codes are numeric.
    `y` is `(batch,)` class indices or `(batch, d_out)` standardised values. The module returns `(batch, d_out)` logits
    or standardised values.

    The factors multiply the learning rate of parameters of a kind; embeddings are those of numbers. With `decay_biases`
    off, the optimizer's weight decay leaves out biases. Layers of the parametrization "ntk" are drawn anew for the rows
    of the training when it starts.
    """

    def __init__(
        self,
        *,
        d_in: int,
        d_out: int,
        task: Task = Task.MULTICLASS,
        n_numbers: int | None = None,
        cardinalities: Sequence[int] = (),
        class_weights: tuple[float, ...] | None = None,
        target_scaler: Scaler | None = None,
        quantiles: Callable[[int], Tensor] | None = None,
        n_layers: int,
        hidden_size: int,
        layer_sizes: Sequence[int] | None,
        dropout_rate: float,
        activation: str,
        normalization: str,
        residual: bool,
        label_smoothing: float | None,
        number_embedding: str,
        number_embedding_size: int,
        n_bins: int,
        n_frequencies: int,
        frequency_scale: float,
        category_embedding_size: int | None,
        optimizer: OptimizerFactory,
        schedule: str | None,
        batches_per_step: int | None,
        parametrization: str = "standard",
        parametric_activation: bool = False,
        scaling_layer: bool = False,
        dropout_schedule: str = "constant",
        weight_decay_schedule: str = "constant",
        decay_biases: bool = True,
        bias_lr_factor: float = 1.0,
        scaling_lr_factor: float = 1.0,
        activation_lr_factor: float = 1.0,
        embedding_lr_factor: float = 1.0,
    ) -> None:
        super().__init__(
            optimizer=optimizer,
            schedule=schedule,
            batches_per_step=batches_per_step,
            weight_decay_schedule=weight_decay_schedule,
        )
        check_is_one_of("model.dropout_schedule", dropout_schedule, FACTORS)
        self.dropout_rate = dropout_rate
        self._dropout_factor = FACTORS[dropout_schedule]
        self.decay_biases = decay_biases
        self.lr_factors = {
            "weight": 1.0,
            "bias": bias_lr_factor,
            "scaling": scaling_lr_factor,
            "activation": activation_lr_factor,
            "embedding": embedding_lr_factor,
        }
        self.task = Task(task)
        n_plain = d_in - len(cardinalities)
        n_numbers = n_plain if n_numbers is None else n_numbers
        self.embeddings = Embeddings(
            n_numbers=n_numbers,
            n_booleans=n_plain - n_numbers,
            cardinalities=cardinalities,
            kind=number_embedding,
            size=number_embedding_size,
            n_bins=n_bins,
            quantiles=quantiles,
            n_frequencies=n_frequencies,
            frequency_scale=frequency_scale,
            category_size=category_embedding_size,
        )
        self.net = MLP(
            d_in=self.embeddings.d_out,
            d_out=d_out,
            sizes=layer_sizes or [hidden_size] * n_layers,
            dropout_rate=dropout_rate,
            activation=activation,
            normalization=normalization,
            residual=residual,
            parametrization=parametrization,
            parametric_activation=parametric_activation,
            scaling_layer=scaling_layer,
        )
        self._dropouts = [layer for layer in self.net.modules() if isinstance(layer, nn.Dropout)]
        self.objective = objective_of(
            self.task,
            d_out=d_out,
            class_weights=class_weights,
            label_smoothing=label_smoothing or 0.0,
            target_scaler=target_scaler,
        )
        self._metrics = self.objective.new_metrics()

    def parameter_groups(self) -> Iterable[Any]:
        if set(self.lr_factors.values()) == {1.0} and self.decay_biases:
            return self.parameters()
        groups: dict[str, dict[str, Any]] = {}
        for name, parameter in self.named_parameters():
            kind = _kind_of(name)
            group = groups.setdefault(kind, {"params": [], "lr_factor": self.lr_factors[kind]})
            group["params"].append(parameter)
        if "bias" in groups and not self.decay_biases:
            groups["bias"]["weight_decay"] = 0.0
        return [*groups.values()]

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and any(isinstance(layer, NTKLinear) for layer in self.net.modules()):
            rows = training_rows(self.trainer)
            if rows is not None:
                self.eval()  # no dropout
                fit_layers(self.net.layers, self.embeddings(rows.to(self.device)))
                self.train()

    def follow_schedules(self, done: float) -> None:
        super().follow_schedules(done)
        if self._dropout_factor is not None:
            rate = self.dropout_rate * self._dropout_factor(done)
            for dropout in self._dropouts:
                dropout.p = rate

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x if self.embeddings.is_identity else self.embeddings(x))  # saves the time of a call
        return out

    def compute_loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return self.objective.loss(self(x), y)

    def on_validation_epoch_start(self) -> None:
        self._metrics = self.objective.new_metrics()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        self._metrics.update(self(x), y)

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def on_test_epoch_start(self) -> None:
        self._metrics = self.objective.new_metrics()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        self._metrics.update(self(x), y)

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _log_metrics(self, split: str) -> None:
        if not self._metrics.n_rows:
            return  # a subclass has its own evaluation steps
        metrics = {f"{split}/{name}": value for name, value in self._metrics.compute().items()}
        self.log_dict(metrics, batch_size=1, sync_dist=True)
        self._metrics = self.objective.new_metrics()


def _kind_of(name: str) -> str:
    """Return the kind of a parameter: a key of `lr_factors`."""
    if name.startswith("embeddings.numbers."):
        return "embedding"
    ends = {"bias": "bias", "scale": "scaling", "share": "activation"}
    return ends.get(name.rpartition(".")[2], "weight")


def training_rows(trainer: L.Trainer) -> Tensor | None:
    """Return up to `N_ROWS_TO_FIT` rows of the training, or those of its first batch; None without a datamodule."""
    data: Any = getattr(trainer, "datamodule", None)
    if data is None:
        return None
    if hasattr(data, "splits"):
        x: Tensor = data.splits.train[0]
        return x[torch.randperm(len(x))[:N_ROWS_TO_FIT]]
    batch: Any = next(iter(data.train_dataloader()))
    return torch.as_tensor(batch[0])
