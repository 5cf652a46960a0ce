"""The tables in the documentation are those that the benchmarks wrote; no time is asserted anywhere."""

import json
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.run import Bench, Row, as_markdown

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("page", "table"), [("speed", "results"), ("tables", "tables"), ("scaling", "scaling")])
def test_the_documentation_shows_the_last_results(page: str, table: str) -> None:
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    shown = text.partition(f"<!-- benchmarks/{table}.md -->\n")[2].partition("<!-- end -->")[0]
    assert shown.strip() == (ROOT / f"benchmarks/{table}.md").read_text(encoding="utf-8").strip()


def test_table_and_figures_agree() -> None:
    results = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    assert as_markdown(results) == (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [[], ["--save"]])
def test_figures_are_kept_only_if_that_is_asked_for(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(_: Bench, __: int) -> list[Row]:
        return [Row.of("work", "yardstick", "", [(1.0, 2.0)])]

    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "BENCHMARKS", {"help": measure})
    monkeypatch.setattr("sys.argv", ["run.py", *arguments])
    (tmp_path / "results.json").write_text('{"rows": {}}')
    run.main()
    kept = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert (list(kept), (tmp_path / "results.md").exists()) == ((["help"], True) if arguments else ([], False))
