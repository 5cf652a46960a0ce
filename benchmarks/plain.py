"""The yardstick: the search that one writes by hand with PyTorch and Optuna alone, in one process.

A DataLoader, a training loop, no pruning, no storage, no folders; the same space, data and budget as
`python train.py -m hparams_search=mlp`. Prints one line of JSON.
"""

import argparse
import json
from typing import Any

import numpy as np
import optuna
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, TensorDataset

OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
}


def read(data: str, *, n_samples: int, seed: int) -> tuple[list[TensorDataset], int, int]:
    """The splits for training (64 %), validation (16 %) and test (20 %), the number of features and of classes."""
    if data == "digits":
        from sklearn.datasets import load_digits

        bunch = load_digits()
        x, y = torch.tensor(bunch.data / 16, dtype=torch.float32), torch.tensor(bunch.target)
    else:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n_samples, 784, generator=generator)
        y = torch.randint(10, (n_samples,), generator=generator)
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(x)))
    sizes = [len(x) - int(0.16 * len(x)) - int(0.2 * len(x)), int(0.16 * len(x)), int(0.2 * len(x))]
    return [TensorDataset(x[part], y[part]) for part in torch.split(rows, sizes)], x.shape[1], 10


def mlp(d_in: int, d_out: int, *, n_layers: int, hidden_size: int, dropout_rate: float) -> nn.Module:
    """Of torch's own layers."""
    layers: list[nn.Module] = []
    for _ in range(n_layers):
        layers += [nn.Linear(d_in, hidden_size), nn.ReLU(), nn.Dropout(dropout_rate)]
        d_in = hidden_size
    return nn.Sequential(*layers, nn.Linear(d_in, d_out))


def train(params: dict[str, Any], rows: Dataset[Any], *, d_in: int, d_out: int, epochs: int) -> nn.Module:
    sizes = {name: params[name] for name in ("n_layers", "hidden_size", "dropout_rate")}
    model = mlp(d_in, d_out, **sizes)
    optimizer = OPTIMIZERS[params["optimizer"]](model.parameters(), lr=params["lr"])
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        model.train()
        for x, y in DataLoader(rows, batch_size=params["batch_size"], shuffle=True):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, rows: Dataset[Any]) -> float:
    model.eval()
    outcomes = [model(x).argmax(dim=1) == y for x, y in DataLoader(rows, batch_size=128)]
    return torch.cat(outcomes).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", choices=["digits", "synthetic"], default="digits")
    parser.add_argument("--samples", type=int, default=60_000, help="of synthetic data, 784 features each")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    splits, d_in, d_out = read(arguments.data, n_samples=arguments.samples, seed=arguments.seed)
    training, validation, test = splits

    def objective(trial: optuna.Trial) -> float:
        params = {
            "n_layers": trial.suggest_int("n_layers", 1, 3),
            "hidden_size": trial.suggest_int("hidden_size", 64, 256, step=64),
            "dropout_rate": trial.suggest_float("dropout_rate", 0.1, 0.5),
            "lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True),
            "optimizer": trial.suggest_categorical("optimizer", list(OPTIMIZERS)),
            "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        }
        return accuracy(train(params, training, d_in=d_in, d_out=d_out, epochs=arguments.epochs), validation)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=arguments.seed))
    study.optimize(objective, n_trials=arguments.trials)
    everything: Dataset[Any] = ConcatDataset([training, validation])
    model = train(study.best_params, everything, d_in=d_in, d_out=d_out, epochs=arguments.epochs)
    print(json.dumps({"best_value": study.best_value, "test_acc": accuracy(model, test)}))


if __name__ == "__main__":
    main()
