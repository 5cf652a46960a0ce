"""The search: a Hydra sweeper in which Optuna asks and tells and a Hydra launcher runs each trial."""
