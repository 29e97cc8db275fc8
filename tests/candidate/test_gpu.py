"""GPU memory of a run, by PyTorch's own counters."""

import sys
import types

import pytest

from shadoweval.candidate import gpu


class Cuda:
    """Two devices."""

    def __init__(self, *, used=True, broken=False):
        self.used, self.broken, self.reset = used, broken, []

    def is_initialized(self):
        if self.broken:
            raise RuntimeError("driver")
        return self.used

    def device_count(self):
        return 2

    def reset_peak_memory_stats(self, device):
        self.reset.append(device)

    def max_memory_allocated(self, device):
        return 100 + device


@pytest.fixture(name="cuda")
def _cuda(monkeypatch):
    def put(cuda):
        monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
        return cuda

    return put


def test_the_peak_of_all_gpus(cuda):
    """Begun anew with each run."""
    there = cuda(Cuda())
    gpu.begin()
    assert (there.reset, gpu.peak()) == ([0, 1], 201)


def test_nothing_is_measured_where_no_gpu_is_used(cuda, monkeypatch):
    """Nor is PyTorch loaded, or a GPU begun to be used, to find out; a driver that fails costs the number alone."""
    for there in (Cuda(used=False), Cuda(broken=True)):
        cuda(there)
        gpu.begin()
        assert (gpu.peak(), there.reset) == (None, [])
    monkeypatch.delitem(sys.modules, "torch")
    gpu.begin()
    assert gpu.peak() is None
    assert "torch" not in sys.modules
