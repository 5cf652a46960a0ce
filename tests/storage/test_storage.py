"""The storage of a study: one URL for all processes, and errors that never show a password."""

import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from lightsweep.errors import ConfigError
from lightsweep.storage import storage
from lightsweep.storage.password import masked, masked_in
from lightsweep.storage.storage import ATTEMPTS, check_url, open_storage, storage_url


@pytest.fixture(autouse=True)
def _forget_storages() -> Iterator[None]:
    yield
    open_storage.cache_clear()


@pytest.mark.parametrize(
    ("configured", "url"),
    [
        (None, "{cwd}/sweep/study.journal"),
        ("kept.journal", "{cwd}/kept.journal"),
        ("below/kept.journal", "{cwd}/below/kept.journal"),
        ("/abs/kept.journal", "/abs/kept.journal"),
        ("no_suffix", "{cwd}/no_suffix"),
        ("sqlite:///study.db", "sqlite:///{cwd}/study.db"),
        ("sqlite:///below/study.db?timeout=10", "sqlite:///{cwd}/below/study.db?timeout=10"),
        ("sqlite:////abs/study.db", "sqlite:////abs/study.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file:/abs/study.db?uri=true", "sqlite:///file:/abs/study.db?uri=true"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///", "sqlite:///"),
        ("sqlite:///my:memory:.db", "sqlite:///{cwd}/my:memory:.db"),
        ("postgresql://user:secret@host:5432/db", "postgresql://user:secret@host:5432/db"),
        ("mysql+pymysql://host/db", "mysql+pymysql://host/db"),
    ],
)
def test_every_process_of_a_search_gets_the_same_url(
    configured: str | None, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    resolved = storage_url(configured, sweep_dir="sweep")
    assert resolved == url.format(cwd=Path.cwd())
    if configured is not None:  # a job gets the resolved URL and runs in another directory
        assert storage_url(resolved, sweep_dir="elsewhere") == resolved


def test_one_process_has_one_connection(tmp_path: Path) -> None:
    url = str(tmp_path / "kept.journal")
    assert open_storage(url) is open_storage(url)


@pytest.mark.parametrize(
    "url",
    [
        "{tmp}/missing/study.journal",
        "{tmp}/a_file/study.journal",
        "{tmp}",
        "sqlite:///{tmp}/missing/study.db",
        "sqlite:///{tmp}/a_file",
        "sqlite:///{tmp}",
        "nosql://host/db",
        "sqlite:/one_slash://x",
        "{tmp}/a_file",
    ],
)
def test_the_error_for_an_unusable_storage_names_it_and_the_way_out(url: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("not a\nstudy\n")
    url = url.format(tmp=tmp_path)
    with pytest.raises(ConfigError) as caught:
        open_storage(url)
    message = str(caught.value)
    assert message.startswith(f"hydra.sweeper.storage is '{url}', which can't be opened or written: ")
    assert message.endswith(
        "Give the path of a journal file in a folder that exists, or a URL such as sqlite:///study.db."
    )
    assert (tmp_path / "a_file").read_text() == "not a\nstudy\n"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///:memory:",
        "sqlite:///:memory:?cache=shared",
        "sqlite://",
        "sqlite:///",
        "sqlite:///?timeout=10",
        "sqlite+pysqlite:///:memory:",
        "sqlite+pysqlite://",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:shared?mode=memory&cache=shared&uri=true",
    ],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"a database in memory: .* Leave it out, or give a file"):
        check_url(url)


@pytest.mark.parametrize("password", ["p@ss:w/x", "p@ss/w", "p@sswd", "p@ss:1234x", "@pass"])
def test_a_password_that_must_be_percent_encoded_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(ConfigError, match="In a password write @ as %40, : as %3A and / as %2F") as caught:
        check_url(f"postgresql+psycopg://me:{password}@localhost:1/db")
    assert "'postgresql+psycopg://me:***@localhost:1/db'" in str(caught.value)
    assert not any(part in str(caught.value).replace("password", "") for part in ("ss", ":w", "w/", "'w'"))
    assert caught.value.__context__ is None  # its text may hold a part of the password


@pytest.mark.parametrize("url", ["postgresql://host:port/db", "sqlite:/one_slash://x", "://"])
def test_a_url_that_is_none_is_refused_with_the_alternatives(url: str) -> None:
    with pytest.raises(ConfigError, match=r"which can't be read as a URL. Give the path of a journal file"):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "/a:b@c/study.journal",
        "sqlite:////a:b@c/study.db",
        "sqlite:////:memory:/study.db",
        "sqlite:///file:/abs/study.db?uri=true",
        "postgresql+psycopg://me:p%40ss%3Aw%2Fx@localhost:1/db",
        "postgresql://me:se:c/r?e#t@[::1]:5432/db",
        "mysql+pymysql://host/db",
    ],
)
def test_other_storages_are_not_refused(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://user:secret@host/db", "postgresql+psycopg://user:***@host/db"),
        ("mysql+pymysql://user:secret@host/db?charset=utf8", "mysql+pymysql://user:***@host/db?charset=utf8"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),  # no user name
        ("postgresql://user:s%40cr%2Fet@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:se:cr:et@host/db", "postgresql://user:***@host/db"),
        ("postgresql://user:se@cr@et@host/db", "postgresql://user:***@host/db"),
        ("postgresql://secret:secret@host/db", "postgresql://secret:***@host/db"),  # the user name is not secret
        ("postgresql://user:host@host/host", "postgresql://user:***@host/host"),
        ("postgresql://user:a@[::1]:5432/db", "postgresql://user:***@[::1]:5432/db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("sqlite:////data/a:b@c/study.db", "sqlite:////data/a:b@c/study.db"),
        ("/data/a:b@c/study.journal", "/data/a:b@c/study.journal"),
        ("sqlite:////data/a:b@c/s.db?password=secret", "sqlite:////data/a:b@c/s.db?password=***"),
        ("postgresql://u@h/d?sslpassword=a&passfile=/b&x=1", "postgresql://u@h/d?sslpassword=***&passfile=/b&x=1"),
        *((f"pg://user:{secret}@host/db", "pg://user:***@host/db") for secret in ("a/b", "a?b", "a#b", "a[b")),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("no driver for pg://u:secret@h/d", "pg://u:secret@h/d", "no driver for pg://u:***@h/d"),
        ("access denied (secret)", "redis://:secret@h", "access denied (***)"),
        ("nothing secret", "pg://u@h/d", "nothing secret"),
        ("no such file: /a/b", "/a/b", "no such file: /a/b"),
        ("no such file: /a:b@c/d.db", "sqlite:////a:b@c/d.db", "no such file: /a:b@c/d.db"),
        ("no match: s@cret", "pg://u:s%40cret@h/d", "no match: ***"),
        ("in pg://u:s%40cret@h/d", "pg://u:s%40cret@h/d", "in pg://u:***@h/d"),
    ],
)
def test_the_message_of_a_driver_is_shown_without_the_password(text: str, url: str, shown: str) -> None:
    assert masked_in(text, url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "nosql://user:secret@host/db",
        "sqlite+nosuchdriver://user:secret@host/db",
        "postgresql://user:secret@host:port/db",
        "redis://:secret@host/0",
        "sqlite://user:secret@host/db",  # SQLAlchemy's message has the whole URL
    ],
)
def test_an_error_does_not_contain_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert ":***@host" in str(caught.value)
    assert caught.value.__cause__ is None  # its text may hold the URL
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("postgresql+psycopg://user:secret@host/db", "pip install -c constraints.txt -e '.[postgres]'"),
        ("mysql+pymysql://user:secret@host/db", "pip install -c constraints.txt -e '.[mysql]'"),
    ],
)
def test_the_error_for_a_missing_driver_is_the_command_that_installs_it(
    url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        open_storage(url)
    assert str(caught.value).endswith(command)


class DuplicateTable(Exception):  # noqa: N818  (psycopg's name)
    pass


class Database:
    """Stands for Optuna's `get_storage`: raises the errors one by one, then opens."""

    def __init__(self, *errors: DBAPIError) -> None:
        self.errors = list(errors)
        self.attempts = 0

    def __call__(self, url: str) -> BaseStorage:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return InMemoryStorage()


DUPLICATE_KEY = IntegrityError("CREATE", {}, Exception('duplicate key value violates unique constraint "pg_type"'))
TABLE_EXISTS = OperationalError("CREATE", {}, Exception("(1050, \"Table 'studies' already exists\")"))
TABLE_EXISTS_IN_GERMAN = ProgrammingError("CREATE", {}, DuplicateTable("Relation »studies« existiert bereits"))


@pytest.mark.parametrize(
    "errors",
    [
        [DUPLICATE_KEY],
        [TABLE_EXISTS],
        [TABLE_EXISTS_IN_GERMAN],
        [TABLE_EXISTS, TABLE_EXISTS, DUPLICATE_KEY],  # one table after the other
    ],
)
def test_a_driver_waits_while_another_one_creates_the_tables(
    errors: list[DBAPIError], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(*errors)
    monkeypatch.setattr(storage, "get_storage", database)
    monkeypatch.setattr(storage, "WAIT_S", 0)
    assert isinstance(open_storage("postgresql://host/db"), InMemoryStorage)
    assert database.attempts == len(errors) + 1


@pytest.mark.parametrize(
    ("errors", "attempts"),
    [
        ([OperationalError("", {}, Exception('password authentication failed for user "me"'))] * 2, 1),
        ([OperationalError("", {}, Exception("connection refused"))] * 2, 1),
        ([ProgrammingError("", {}, Exception("permission denied for schema public"))] * 2, 1),
        ([DUPLICATE_KEY] * 2 * ATTEMPTS, ATTEMPTS),  # not by another driver
    ],
)
def test_an_error_that_stays_is_one_message_and_the_others_come_at_once(
    errors: list[DBAPIError], attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(*errors)
    monkeypatch.setattr(storage, "get_storage", database)
    monkeypatch.setattr(storage, "WAIT_S", 0)
    with pytest.raises(ConfigError, match=r"which can't be opened or written: \(.*Exception\)"):
        open_storage("postgresql://host/db")
    assert database.attempts == attempts


def test_several_drivers_may_start_at_once_on_a_new_database(tmp_path: Path) -> None:
    together = Barrier(8)

    def open_it(_: int) -> BaseStorage:
        together.wait()
        return open_storage.__wrapped__(f"sqlite:///{tmp_path}/study.db")  # without the cache, as in other processes

    with ThreadPoolExecutor(8) as pool:
        assert [opened.get_all_studies() for opened in pool.map(open_it, range(8))] == [[]] * 8


@pytest.mark.parametrize("n_tables", [1, 6, 12])
def test_the_tables_that_a_killed_driver_left_are_completed(n_tables: int, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    open_storage(url)
    open_storage.cache_clear()
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in tables[n_tables:]:
            database.execute(f"DROP TABLE {name}")
        database.execute("DELETE FROM version_info" if "version_info" in tables[:n_tables] else "SELECT 1")
        database.commit()
    assert open_storage(url).get_all_studies() == []
