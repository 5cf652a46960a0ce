"""What happens before the first trial.

Before every search: `checks.py`, with the helpers `config_checks.py` and `storage_checks.py`.
With `preflight=true` also: `preflight.py`, with the helpers `space_table.py`, `dry_run.py` and `estimate.py`.
"""
