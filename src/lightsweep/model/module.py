"""The MLP as a LightningModule: for classes and for values, with whatever optimizer the config chose."""

from collections.abc import Callable, Sequence

from torch import Tensor

from lightsweep.data.splits import Scaler
from lightsweep.model.embeddings import Embeddings
from lightsweep.model.mlp import MLP
from lightsweep.model.objectives import ClassEvaluation, ValueEvaluation, objective_of
from lightsweep.model.training_steps import Batch, OptimizerOf, TrainingSteps
from lightsweep.task import Task


class MLPModule(TrainingSteps):
    """Logs `train/loss`, and of validation and test the metrics of the task (`METRICS`), each once per epoch.

    Shape: a batch is `(x, y)` with `x` of `(batch, d_in)` floats, of which the first `n_numbers` columns are numbers
    (None for all but the codes) and the last `len(cardinalities)` columns codes of categories, and `y` of `(batch,)`
    class indices or `(batch, d_out)` standardised values. The module itself returns logits or standardised values of
    `(batch, d_out)`.
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
        optimizer: OptimizerOf,
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
        self._evaluation: ClassEvaluation | ValueEvaluation = self.objective.evaluation()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(self.embeddings(x) if self.embeddings.has_any else x)  # a call costs time
        return out

    def loss_of(self, batch: Batch) -> Tensor:
        x, y = batch
        return self.objective.loss(self(x), y)

    def on_validation_epoch_start(self) -> None:
        self._forget_evaluation()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_start(self) -> None:
        self._forget_evaluation()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def _forget_evaluation(self) -> None:
        self._evaluation = self.objective.evaluation()

    def _evaluate(self, batch: Batch) -> None:
        x, y = batch
        self._evaluation.add(self(x), y)

    def _log_evaluation(self, split: str) -> None:
        if not self._evaluation.n_rows:
            return  # a subclass evaluates in its own way
        metrics = {f"{split}/{name}": value for name, value in self._evaluation.metrics().items()}
        self.log_dict(metrics, batch_size=1, sync_dist=True)
        self._forget_evaluation()
