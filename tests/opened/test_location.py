"""Where the study of a search is, while none of its trials has finished."""

from pathlib import Path

import pytest

from lightsweep.errors import ConfigError
from lightsweep.opened.location import Location


def test_before_the_first_trial_has_finished_the_environment_names_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "command.json").write_text("{}")
    monkeypatch.delenv("LIGHTSWEEP_STORAGE", raising=False)
    with pytest.raises(ConfigError, match="give the URL of the storage, or export LIGHTSWEEP_STORAGE"):
        Location.of(tmp_path)
    monkeypatch.setenv("LIGHTSWEEP_STORAGE", "postgresql+psycopg://u:secret@host/db")
    assert Location.of(tmp_path).url == "postgresql+psycopg://u:secret@host/db"
    assert "secret" not in Location.of(tmp_path).shown
    (tmp_path / "study.journal").write_text("")  # a search with a journal does not use the variable
    assert Location.of(tmp_path).url == str(tmp_path / "study.journal")
