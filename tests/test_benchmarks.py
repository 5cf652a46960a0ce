"""The table in the README is the one that the benchmark wrote; no time is asserted anywhere."""

import json
from pathlib import Path

from benchmarks.run import as_markdown

ROOT = Path(__file__).parents[1]


def test_the_readme_shows_the_last_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- benchmarks/results.md -->\n")[2].partition("<!-- end -->")[0]
    assert shown.strip() == (ROOT / "benchmarks/results.md").read_text(encoding="utf-8").strip()


def test_table_and_figures_agree() -> None:
    results = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    assert as_markdown(results) == (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_last_comparison_with_a_random_forest() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- benchmarks/tables.md -->\n")[2].partition("<!-- end -->")[0]
    assert shown.strip() == (ROOT / "benchmarks/tables.md").read_text(encoding="utf-8").strip()
