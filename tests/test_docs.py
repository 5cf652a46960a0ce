"""The documentation: links lead somewhere, marked commands run, and every option of `conf/` is described.

A block below `<!-- run: more arguments -->` is run: `bash` with these arguments behind each `python train.py ...`,
and `python` as it is. The marked blocks of one page share a folder and run in their order.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest

from lightsweep.launcher.config import ProcessesConf
from lightsweep.sweeper.config import LightsweepConf
from tests.command import ROOT
from tests.test_conf import OPTIONS

README = ROOT / "README.md"
GUIDE = [README, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDE, *(page for name in ("CHANGELOG.md", "CONTRIBUTING.md") if (page := ROOT / name).is_file())]
CODE = [ROOT / name for name in ("src", "tests", "benchmarks", "examples")]
MAX_LINES_OF_README = 150
SECONDS_PER_PAGE = 240

BLOCK = re.compile(r"(?:<!-- run(?P<arguments>:[^>]*)? -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
NEEDED = ("train.py", "conf", "examples")


class Block(NamedTuple):
    language: str
    code: str
    arguments: str | None  # None if it is not to be run


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        is_marked = found[0].startswith("<!--")
        yield Block(found["language"], found["code"], (found["arguments"] or ":")[1:] if is_marked else None)


def anchors_of(page: Path) -> set[str]:
    """The anchors that a code host makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_the_code_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", page.read_text(encoding="utf-8")))
    files = [path.as_posix() for folder in CODE for path in folder.rglob("*.py")] + [f"{ROOT}/train.py"]
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for path, anchor in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


def test_a_reader_of_the_readme_comes_to_every_page() -> None:
    linked = {(page.parent / path).resolve() for page in GUIDE for path, _ in LINK.findall(page.read_text("utf-8"))}
    assert set(GUIDE) - linked <= {README}


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_LINES_OF_README


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_the_config_is_described_beside_its_group(option: str) -> None:
    group, _, name = option.rpartition("/")
    lines = [line for page in GUIDE for line in page.read_text(encoding="utf-8").splitlines()]
    assert any(
        f"{group}={name}" in line or (f"`{group}`" in line and f"`{name}`" in line)
        for line in [*lines, *_tables(lines)]
    )


def _tables(lines: list[str]) -> Iterator[str]:
    """Each row behind the header of its table, in which the group may stand."""
    header = ""
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            header = header if before.startswith("|") else line
            yield f"{header} {line}"


@pytest.mark.parametrize("setting", [field.name for field in fields(LightsweepConf)])
def test_every_setting_of_the_sweeper_is_described(setting: str) -> None:
    if setting in ("_target_", "defaults"):
        return
    pattern = rf"hydra[./]sweeper[./]{setting}\b|`{setting}`"
    assert any(re.search(pattern, page.read_text(encoding="utf-8")) for page in GUIDE)


@pytest.mark.parametrize("setting", [field.name for field in fields(ProcessesConf)])
def test_every_setting_of_the_launcher_is_described(setting: str) -> None:
    pattern = rf"hydra\.launcher\.{setting}\b|`{setting}[`=]"
    assert setting == "_target_" or any(re.search(pattern, page.read_text(encoding="utf-8")) for page in GUIDE)


def test_every_page_with_a_command_has_one_that_is_run() -> None:
    for page in GUIDE:
        commands = [block for block in blocks_of(page) if block.language == "bash" and "python train.py" in block.code]
        assert not commands or any(block.arguments is not None for block in commands), name_of(page)


RUN = [page for page in GUIDE if any(block.arguments is not None for block in blocks_of(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_marked_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for block in blocks_of(page):
        if block.arguments is None:
            continue
        command = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euc"]
        ran = subprocess.run(
            [*command, block.code if block.language == "python" else _script(block)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS_PER_PAGE,
            check=False,
        )
        assert ran.returncode == 0, f"{block.code}\n{ran.stdout}\n{ran.stderr}"


def _script(block: Block) -> str:
    """The block, in which `python` is this one and `python train.py` gets further arguments."""
    more = shlex.join(shlex.split(block.arguments or ""))
    python = shlex.quote(sys.executable)
    return f'python() {{ if [ "$1" = train.py ]; then {python} "$@" {more}; else {python} "$@"; fi; }}\n{block.code}'
