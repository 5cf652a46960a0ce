"""Where the study of a search is, given its folder, its journal or the URL of its storage."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from lightsweep.config.command_line import COMMAND
from lightsweep.errors import ConfigError, first_few
from lightsweep.files import shown
from lightsweep.report.results import RESULTS, read_location
from lightsweep.storage.password import VARIABLE, masked
from lightsweep.storage.reading import cannot_be_read, open_to_read
from lightsweep.storage.storage import JOURNAL
from lightsweep.trial.context import is_confirm_study


@dataclass(frozen=True, kw_only=True)
class Location:
    """The storage of a search; its folder, and the name of its study, are None if they are not known."""

    url: str
    name: str | None = None
    folder: Path | None = None

    @classmethod
    def of(cls, search: str | os.PathLike[str]) -> "Location":
        """Find a search. Writes nothing.

        Raises `ConfigError` if there is none, or its storage has a password that is not in the environment.
        """
        text = os.fspath(search)
        path = Path(text)
        if "://" in text or path.is_file():
            return cls(url=text)
        if not path.is_dir():
            raise ConfigError(f"'{text}' is neither a folder, nor a journal, nor the URL of a storage.")
        location = read_location(path)
        known = os.environ.get(VARIABLE)
        if location is None and known and (path / COMMAND).is_file() and not (path / JOURNAL).is_file():
            return cls(url=known, folder=path)  # no trial has finished yet, so nothing in the folder names the storage
        if location is None and not (path / JOURNAL).is_file():
            raise ConfigError(
                f"'{text}' holds no {JOURNAL} and no {RESULTS}, so it is not the folder of a search, or no trial has"
                f" finished yet and the study is elsewhere: give the URL of the storage, or export {VARIABLE}."
            )
        url, name = location or (str(path / JOURNAL), None)
        return cls(url=_with_password(url) if "***" in url else url, name=name, folder=path)

    @property
    def shown(self) -> str:
        """The storage without its password, as messages show it."""
        return masked(self.url) if "://" in self.url else shown(Path(self.url))

    def open_study(self, name: str | None = None, *, option: str) -> optuna.Study:
        """Open the study `name`, to read only; without a name, the one that the folder tells, or the only one.

        Raises `ConfigError` if there is none, it can't be read, or the user must choose with `option`.
        """
        storage = open_to_read(self.url)
        try:
            names = optuna.get_all_study_names(storage)
            chosen = self.choose(names, name=name or self.name, option=option)
            return optuna.load_study(study_name=chosen, storage=storage)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  (every database driver has its own)
            raise cannot_be_read(self.url, error) from None

    def choose(self, names: Sequence[str], *, name: str | None, option: str) -> str:
        """Return the name of the study to open, given those in the storage."""
        if name is not None and name not in names:
            there = f"its studies are {first_few(names)}" if names else "it holds no study"
            raise ConfigError(f"'{self.shown}' has no study '{name}'; {there}.")
        if name is not None:
            return name
        of_searches = [each for each in names if not is_confirm_study(each, names)]
        if not of_searches:
            raise ConfigError(f"'{self.shown}' holds no study yet.")
        if len(of_searches) > 1:
            raise ConfigError(
                f"'{self.shown}' holds {len(of_searches)} studies: {', '.join(of_searches)}. Choose one with {option}."
            )
        return of_searches[0]


def _with_password(url: str) -> str:
    """Return the URL with its password, which is masked in the results of the search."""
    known = os.environ.get(VARIABLE, "")
    if masked(known) != url:
        raise ConfigError(f"the storage of this search is '{url}': export {VARIABLE} with its URL and password.")
    return known
