"""Compare searches: python -m lightsweep.compare outputs/mlp/<date_time> outputs/mlp/<another> -o comparison.html"""

import argparse
from pathlib import Path

from lightsweep.errors import ConfigError
from lightsweep.files import shown
from lightsweep.interrupt import exits_on_error
from lightsweep.opened.compared import ComparedSearch
from lightsweep.opened.comparison import problem_of, tables_of
from lightsweep.opened.comparison_page import write_comparison
from lightsweep.opened.page_file import page_file


def main() -> None:
    arguments = _parser().parse_args()
    with exits_on_error():
        compare(arguments.searches, output=arguments.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lightsweep.compare",
        description="Show what several searches found, and how their search spaces and settings differ. Only reads.",
    )
    parser.add_argument(
        "searches",
        nargs="+",
        help="two or more: folder of a search, path of a journal, or URL of a storage; '<storage>#<study>' if it holds"
        " several studies",
    )
    parser.add_argument("-o", "--output", type=Path, help="also write an HTML page to this file, which is replaced")
    return parser


def compare(names: list[str], *, output: Path | None) -> None:
    """Print the comparison and write its page, if one is wanted.

    Raises `ConfigError` for a search that can't be read, and if the page can't be written.
    """
    if len(names) < 2:
        raise ConfigError(f"'{names[0]}' is one search; give two or more to compare.")
    searches = [ComparedSearch.of(name) for name in names]
    labels = [search.label for search in searches]
    texts = [table.text(labels) for table in tables_of(searches)]
    if output is not None:
        with page_file(output):
            write_comparison(searches, output)
        texts.append(f"Page: {shown(output)}")
    print("\n\n".join(filter(None, [problem_of(searches), *texts])))


if __name__ == "__main__":
    main()
