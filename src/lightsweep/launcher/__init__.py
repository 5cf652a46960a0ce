"""The Hydra launcher `processes`: jobs run in long-lived worker processes."""
