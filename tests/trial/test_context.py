"""What a job knows of its trial: here the name of the device on which it trains."""

import pytest

from lightsweep.trial.context import device_name


@pytest.mark.parametrize(
    ("device", "index", "visible", "name"),
    [
        ("cpu", None, "0,1", "cpu"),
        ("cpu", 0, None, "cpu"),
        ("mps", 0, None, "mps:0"),
        ("cuda", 0, None, "cuda:0"),
        ("cuda", 1, None, "cuda:1"),
        ("cuda", 0, "3", "cuda:3"),
        ("cuda", 1, "3, 5", "cuda:5"),
        ("cuda", 0, "GPU-8f2a", "cuda:GPU-8f2a"),
    ],
)
def test_a_device_is_named_by_what_cuda_visible_devices_lists(
    device: str, index: int | None, visible: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_name(device, index=index) == name
