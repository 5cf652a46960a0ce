"""A data set of OpenML, downloaded by scikit-learn from a fake server."""

import gzip
import hashlib
import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

import pytest
import sklearn.datasets._openml

from lightsweep.data.openml import OpenMLDataModule
from lightsweep.errors import ConfigError
from lightsweep.task import Task
from tests.data.table.tables import TABLE

Ask = Callable[..., OpenMLDataModule]

ARFF = "\n".join(
    [
        "@RELATION flowers",
        "@ATTRIBUTE length NUMERIC",
        "@ATTRIBUTE colour {red,blue,'light green'}",
        "@ATTRIBUTE kind {rose,lily}",
        "@DATA",
        *(f"{i / 7:.2f},{['red', 'blue', '?'][i % 3]},{['rose', 'lily'][i % 2]}" for i in range(60)),
    ]
)
FEATURES = [
    {"index": str(i), "name": name, "data_type": kind, "is_target": target, "is_ignore": "false"}
    | {"is_row_identifier": "false", "number_of_missing_values": "0"}
    for i, (name, kind, target) in enumerate(
        [("length", "numeric", "false"), ("colour", "nominal", "false"), ("kind", "nominal", "true")]
    )
]
DESCRIPTION = {
    "id": "61",
    "name": "flowers",
    "version": "1",
    "format": "ARFF",
    "status": "active",
    "file_id": "7",
    "description": "",
}
DESCRIPTION["md5_checksum"] = hashlib.md5(ARFF.encode(), usedforsecurity=False).hexdigest()
ANSWERS = {
    "/data/list/data_name/flowers/limit/2/status/active/": {
        "data": {"dataset": [{"did": 61, "name": "flowers", "version": 1, "status": "active", "format": "ARFF"}]}
    },
    "/data/61": {
        "data_set_description": DESCRIPTION
        | {"default_target_attribute": "kind", "url": "https://www.openml.org/data/v1/download/7/flowers.arff"}
    },
    "/data/features/61": {"data_features": {"feature": FEATURES}},
    "/data/qualities/61": {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "60"}]}},
}


class Response(io.BytesIO):
    def info(self) -> dict[str, str]:
        return {"Content-Encoding": "gzip"}


class Server:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, request: Request, *_: Any, **__: Any) -> Response:
        url = request.full_url
        self.asked.append(url)
        if "/download/" in url:
            return Response(gzip.compress(ARFF.encode()))
        for end, answer in ANSWERS.items():
            if url.endswith(end):
                return Response(gzip.compress(json.dumps(answer).encode()))
        raise HTTPError(url, 412, "No results", None, None)  # type: ignore[arg-type]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    played = Server()
    monkeypatch.setattr(sklearn.datasets._openml, "urlopen", played)
    return played


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    given = {key: value for key, value in TABLE.items() if key not in ("val_path", "test_path", "decimal")}
    asked = {"name": None, "version": "active", "id": None, "data_home": "openml", "target": None}
    return lambda **changes: OpenMLDataModule(**{**given, **asked, "relative_to": str(tmp_path), **changes})


@pytest.mark.parametrize("by", [{"name": "flowers"}, {"id": 61}])
def test_a_data_set_is_downloaded_once_by_name_or_id(by: dict[str, Any], server: Server, ask: Ask) -> None:
    data = ask(**by)
    assert (data.task, list(data.classes), data.targets) == (Task.BINARY, ["lily", "rose"], ("kind",))
    assert data.preprocessing.features == ["length", "colour_", "colour_blue", "colour_red"]  # type: ignore[attr-defined]
    n_asked = len(server.asked)
    assert n_asked >= 3
    assert ask(**by, scale="quantile").d_in == 4
    assert len(server.asked) == n_asked


def test_trials_with_other_settings_do_not_download_at_the_same_time(
    server: Server, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = sklearn.datasets.fetch_openml

    def fetch_alone(*arguments: Any, **keywords: Any) -> Any:
        (tmp_path / "downloading").mkdir()
        time.sleep(0.2)
        found = fetch(*arguments, **keywords)
        (tmp_path / "downloading").rmdir()
        return found

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_alone)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda scale: ask(id=61, scale=scale).d_in, ["standard", "quantile"])) == [4, 4]


def test_another_target_can_be_chosen(server: Server, ask: Ask) -> None:
    assert ask(id=61, target="length", drop=["colour"]).task is Task.REGRESSION


def refuse(*_: Any, **__: Any) -> None:
    raise URLError("no route to host")


@pytest.mark.filterwarnings("ignore:A network error occurred", "ignore:Invalid cache")
def test_an_unknown_data_set_and_an_unreachable_server_are_config_errors(
    server: Server, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="OpenML's data set name=trees version=active can't be loaded"):
        _ = ask(name="trees").splits
    with pytest.raises(ConfigError, match=r"data\.name is None and data\.id is None; give one of them"):
        ask()
    monkeypatch.setattr(sklearn.datasets._openml, "urlopen", refuse)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ConfigError, match=r"openml\.org can't be reached for the data set data_id=62"):
        _ = ask(id=62).splits
