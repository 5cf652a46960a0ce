"""The MLP as a LightningModule, for classification and regression."""

from collections.abc import Callable, Sequence

from torch import Tensor

from lightsweep.data.splits import Scaler
from lightsweep.model.embeddings import Embeddings
from lightsweep.model.mlp import MLP
from lightsweep.model.multi_batch import Batch, MultiBatchModule, OptimizerFactory
from lightsweep.model.objectives import objective_of
from lightsweep.task import Task


class MLPModule(MultiBatchModule):
    """The MLP with its loss and metrics: logs `train/loss`, and `METRICS` of the task once per validation and test.

    Shape: a batch is `(x, y)`. `x` is `(batch, d_in)`: `n_numbers` numeric features, booleans (0 or 1), and a category
    code for each of `cardinalities`. If `n_numbers` is None, all columns but the codes are numeric.
    `y` is `(batch,)` class indices or `(batch, d_out)` standardised values. The module returns `(batch, d_out)` logits
    or standardised values.
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
        label_smoothing: float,
        number_embedding: str,
        number_embedding_size: int,
        n_bins: int,
        n_frequencies: int,
        frequency_scale: float,
        category_embedding_size: int | None,
        optimizer: OptimizerFactory,
        schedule: str | None,
        batches_per_step: int | None,
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule, batches_per_step=batches_per_step)
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
        )
        self.objective = objective_of(
            self.task,
            d_out=d_out,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            target_scaler=target_scaler,
        )
        self._metrics = self.objective.new_metrics()

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
