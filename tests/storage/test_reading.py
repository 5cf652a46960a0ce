"""A storage that is opened to read: nothing is created, locked or repaired."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from lightsweep.errors import ConfigError
from lightsweep.storage.reading import cannot_be_read, open_to_read

optuna.logging.set_verbosity(optuna.logging.ERROR)


def two_trials(path: Path) -> str:
    """Write a journal, or a database if the name ends in .db, and return its URL."""
    is_database = path.suffix == ".db"
    url = f"sqlite:///{path}" if is_database else str(path)
    storage = RDBStorage(url) if is_database else JournalStorage(JournalFileBackend(url))
    study = optuna.create_study(study_name="mlp", storage=storage)
    for value in (0.5, 0.25):
        study.tell(study.ask(), value)
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
    return url


@pytest.mark.parametrize("name", ["study.journal", "study.db"])
def test_the_trials_are_read_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    url = two_trials(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    storage = open_to_read(url)
    assert optuna.load_study(study_name="mlp", storage=storage).best_value == 0.25
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_journal_is_read_while_a_line_is_written_and_after_it(tmp_path: Path) -> None:
    url = two_trials(tmp_path / "study.journal")
    whole = Path(url).read_bytes()
    Path(url).write_bytes(whole[:-5])
    Path(f"{url}.lock").symlink_to(url)  # held by the writer
    study = optuna.load_study(study_name="mlp", storage=open_to_read(url))
    assert [trial.value for trial in study.trials] == [0.5, None]
    assert Path(url).read_bytes() == whole[:-5]
    Path(url).write_bytes(whole)
    assert [trial.value for trial in study.trials] == [0.5, 0.25]
    with pytest.raises(PermissionError, match="to read only"):
        study.ask()


def empty_database(path: Path) -> str:
    path.touch()
    return f"sqlite:///{path}"


@pytest.mark.parametrize(
    ("url_of", "message"),
    [
        (lambda folder: f"{folder}/none.journal", "No such file"),
        (lambda folder: f"sqlite:///{folder}/none.db", "there is no file .*none.db"),
        (lambda folder: empty_database(folder / "empty.db"), "holds no study of Optuna"),
        (lambda folder: two_trials(folder / "study.db").removeprefix("sqlite:///"), "SQLite .* its URL: sqlite:///"),
        (lambda folder: str((folder / "notes").write_text("not a journal") and folder / "notes"), "is not a journal"),
        (lambda _: "sqlite:///:memory:", "a database in memory"),
        (lambda _: "nosql://user:secret@host/db", r"'nosql://user:\*\*\*@host/db' can't be read"),
    ],
)
def test_what_can_not_be_read_is_one_error_and_stays_as_it_is(
    url_of: Callable[[Path], str], message: str, tmp_path: Path
) -> None:
    url = url_of(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=message) as caught:
        open_to_read(url)
    assert "secret" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_driver_is_named_with_its_command() -> None:
    error = cannot_be_read("mysql+pymysql://u:secret@h/db", ModuleNotFoundError("No module named 'x'", name="pymysql"))
    assert "pip install" in str(error)
    assert "[mysql]" in str(error)
    assert "secret" not in str(error)
