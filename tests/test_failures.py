"""The kind of a failure, and its traceback file."""

import errno
from pathlib import Path

import pytest
import torch

from lightsweep.errors import DiskFullError
from lightsweep.failures import Kind, TrialTimeoutError, full_disk, in_one_line, kind_of, save_traceback


def torch_error() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), Kind.OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            Kind.OUT_OF_MEMORY,
        ),
        (MemoryError(), Kind.OUT_OF_MEMORY),
        (torch_error(), Kind.OUT_OF_MEMORY),
        (FloatingPointError("overflow"), Kind.DIVERGED),
        (TrialTimeoutError("it took longer"), Kind.TIMEOUT),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Kind.ERROR),
        (ValueError("out of memory"), Kind.ERROR),
    ],
    ids=str,
)
def test_an_exception_has_a_kind(error: Exception, kind: Kind) -> None:
    assert kind_of(error) == kind


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_detected_also_as_a_cause(number: int, tmp_path: Path) -> None:
    outer = RuntimeError("could not save")
    outer.__cause__ = OSError(number, "no space")
    assert full_disk(outer, tmp_path) == tmp_path
    assert full_disk(outer.__cause__, tmp_path) == tmp_path


def test_a_full_disk_is_that_of_the_path_which_the_exception_names(tmp_path: Path) -> None:
    assert full_disk(OSError(errno.ENOSPC, "no space", "/elsewhere/a.txt"), tmp_path) == Path("/elsewhere/a.txt")
    of_cache = DiskFullError(tmp_path / "cache")
    of_cache.__context__ = OSError(errno.ENOSPC, "no space")
    outer = RuntimeError("the job failed")
    outer.__cause__ = of_cache
    assert full_disk(of_cache, tmp_path / "search") == full_disk(outer, tmp_path / "search") == tmp_path / "cache"


@pytest.mark.parametrize(
    "words", ["PytorchStreamWriter failed", "[enforce fail at inline_container.cc:672] . unexpected"]
)
def test_the_writer_of_torch_is_believed_if_the_disk_is_full(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert full_disk(RuntimeError(words), tmp_path) is None
    monkeypatch.setattr("lightsweep.failures.FULL_DISK_BYTES", 2**60)
    assert full_disk(RuntimeError(words), tmp_path) == tmp_path
    assert full_disk(RuntimeError("shapes"), tmp_path) is None


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), RuntimeError("PytorchStreamWriter failed"), None])
def test_other_errors_are_not_a_full_disk(error: Exception | None, tmp_path: Path) -> None:
    assert not full_disk(error, tmp_path)


def test_the_traceback_is_saved_and_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    try:
        raise ValueError("here")
    except ValueError as error:
        save_traceback(error, tmp_path)
        save_traceback(error, tmp_path / "gone")
    assert "raise ValueError" in (tmp_path / "error.txt").read_text()


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError("a\n  b"), "ValueError: a b"), (KeyboardInterrupt(), "KeyboardInterrupt")]
)
def test_a_reason_is_one_line(error: BaseException, line: str) -> None:
    assert in_one_line(error) == line
