"""The training alone: seconds per optimizer step of a fit as a search makes it, and of a tight loop, in turn.

With the fit: CSV logger, best checkpoint, pruning callback, validation. The tight loop slices tensors, steps a fused
optimizer and validates; it logs, saves and asks nothing. Prints one line of JSON.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as L
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from lightsweep.callbacks.checkpoint import BestCheckpoint
from lightsweep.callbacks.last_checkpoint import LastCheckpoint
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.data.digits import Digits
from lightsweep.data.synthetic import Synthetic
from lightsweep.data.tensors import TensorDataModule
from lightsweep.logger.csv import CSVLogger
from lightsweep.model.module import MLPModule
from lightsweep.storage.storage import open_storage
from lightsweep.trainer.checkpoint_io import AtomicCheckpointIO
from lightsweep.training.fit import flush_denormals, set_up_process

MODEL = Path(__file__).parents[1] / "conf/model/mlp.yaml"
ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)
BATCH_SIZE = 64


def data_module(n_samples: int | None) -> TensorDataModule:
    shared: dict[str, Any] = {"batch_size": BATCH_SIZE, "shuffle": True, "seed": 0, "refit": False}
    if n_samples is None:
        return Digits(**shared)
    return Synthetic(n_samples=n_samples, n_features=784, n_classes=10, **shared)


def classifier(data: TensorDataModule, *, normalization: str) -> MLPModule:
    settings: Any = OmegaConf.to_container(OmegaConf.load(MODEL))
    del settings["_target_"]
    settings["normalization"] = normalization
    return MLPModule(**settings, d_in=data.d_in, d_out=data.d_out, optimizer=ADAM)


def fit(data: TensorDataModule, *, epochs: int, normalization: str) -> float:
    model = classifier(data, normalization=normalization)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            default_root_dir=folder,
            deterministic=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            plugins=[AtomicCheckpointIO()],
            logger=CSVLogger(save_dir=folder, name="csv", version=""),
            callbacks=[
                BestCheckpoint(dirpath=folder, filename="best", monitor="val/acc", direction="maximize"),
                LastCheckpoint(dirpath=folder, every_s=30),
                PruningCallback(monitor="val/acc", direction="maximize", trial=_trial(folder)),
            ],
        )
        start = time.perf_counter()
        with flush_denormals():
            trainer.fit(model, datamodule=data)
        return (time.perf_counter() - start) / model.n_optimizer_steps


def _trial(folder: str) -> optuna.Trial:
    """A trial in a journal, for the callback to report to and to ask about."""
    study = optuna.create_study(
        storage=open_storage(f"{folder}/study.journal"), direction="maximize", pruner=optuna.pruners.MedianPruner()
    )
    return study.ask()


def tight_loop(data: TensorDataModule, *, epochs: int, normalization: str) -> float:
    model = classifier(data, normalization=normalization).net
    optimizer = ADAM(model.parameters())
    x, y = data.splits.train
    assert data.splits.val is not None
    x_val, y_val = data.splits.val
    n_steps = 0
    start = time.perf_counter()
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for rows, labels in zip(torch.split(x[order], BATCH_SIZE), torch.split(y[order], BATCH_SIZE), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(rows), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            n_steps += 1
        model.eval()
        with torch.inference_mode():
            (model(x_val).argmax(dim=1) == y_val).float().mean().item()
    return (time.perf_counter() - start) / n_steps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, help="of synthetic data, 784 features each; digits if left out")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--normalization", default="none", choices=["none", "batch", "layer"])
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    set_up_process(threads=1, verbose=False)
    data = data_module(arguments.samples)
    work: dict[str, Any] = {"epochs": arguments.epochs, "normalization": arguments.normalization}
    pairs = []
    for _ in range(arguments.pairs + 1):
        torch.manual_seed(0)
        loop = tight_loop(data, **work)
        pairs.append((fit(data, **work), loop))
    print(json.dumps(pairs[1:]))  # the first has imported what both need


if __name__ == "__main__":
    main()
