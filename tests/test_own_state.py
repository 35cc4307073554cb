"""The caller's process is his own: whatever state it has, results are the same, and it is as before."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vrcodec
import vrcodec.pillow_plugin
from tests.conftest import ROOT, Pixels
from tests.pictures import stored
from vrcodec import api
from vrcodec.bitstream.assembly import AuxiliaryChunkCache, auxiliary_chunks
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.maps.tasks import task_map
from vrcodec.metrics import METRICS
from vrcodec.picture.picture import Picture
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

MODELS = ("gained", "qvrf", "qmap", "slim", "qarv")


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


STATES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "device meta": lambda: torch.device("meta"),
    "errors of NumPy": lambda: np.errstate(all="raise"),
    "float64": lambda: default_dtype(torch.float64),
}


def observed() -> tuple[Any, ...]:
    """What a caller may have set, or may rely on."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_device(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        np.geterr(),
        bytes(torch.get_rng_state().numpy()),
        np.random.get_state()[1].tobytes(),
    )


def forget_models() -> None:
    """Models are loaded anew, in the state that then is."""
    api._load_encoder.cache_clear()
    api._load_decoder.cache_clear()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("state", STATES)
def test_results_are_the_same_in_any_state(state: str, model: str, photograph: Pixels) -> None:
    def use() -> list[bytes]:
        data = vrcodec.encode(photograph, 0.5, model=model)
        searched = vrcodec.encode(photograph, 0.5, model=model, effort=1)
        decoded = vrcodec.decode(data, crop=(3, 4, 60, 50)).tobytes()
        return [data, searched, decoded]

    forget_models()
    expected = use()
    forget_models()
    with STATES[state]():
        before = observed()
        first, second = use(), use()
        assert observed() == before
    # Models that were loaded in there serve outside, too.
    assert first == second == expected == use()
    forget_models()


@pytest.mark.parametrize("state", STATES)
def test_so_are_those_of_other_entries(state: str, photograph: Pixels) -> None:
    picture = Picture.from_array(np.tile(photograph, (2, 1, 1)))
    other = picture.pixels // 4 * 4

    def use() -> list[Any]:
        quality_map = np.arange(30.0).reshape(5, 6) / 30
        mapped = vrcodec.encode(photograph, model="qmap", qmap=quality_map, verify=True)
        encoder, decoder = Encoder("gained"), Decoder()
        targets = (Target("size", 9000), Target("ssimulacra2", 40))
        levels = task_map(find_by_family("qmap"), photograph, squared_error, steps=2)
        saved = stored(Image.fromarray(photograph), "VRC", model="qvrf")
        return [
            mapped,
            vrcodec.quality_map(mapped).tolist(),
            levels.tolist(),
            saved.getvalue(),
            Image.open(saved).tobytes(),
            *(encode_to_target(encoder, decoder, picture, target).data for target in targets),
            *(metric.compute(picture.pixels, other) for metric in METRICS.values()),
        ]

    expected = use()
    with STATES[state]():
        before = observed()
        found = use()
        assert observed() == before
    assert found == expected


def squared_error(decoded: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """The loss of a task that looks at all of a picture."""
    return 1000 * (decoded - original).square().mean()


@pytest.mark.parametrize("model", MODELS)
def test_random_numbers_of_the_caller_are_his(model: str, photograph: Pixels) -> None:
    forget_models()
    before = observed()
    vrcodec.decode(vrcodec.encode(photograph, 0.5, model=model, effort=2))
    assert observed() == before


FORK = """
import multiprocessing, sys
import numpy as np
import torch
import vrcodec

picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8) // 8 * 8

def work(model):
    data = vrcodec.encode(picture, 0.3, model=model, lossless="never")
    return data, vrcodec.decode(data).tobytes(), torch.get_num_threads()

if __name__ == "__main__":
    torch.set_num_threads(2)
    for model in sys.argv[1:]:
        parent = work(model)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            child = pool.apply_async(work, (model,)).get(120)
        assert len(child[0]) > 100 and abs(len(child[0]) - len(parent[0])) < 20
        assert child[2] == parent[2] == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_wait_for_ever(tmp_path: Path) -> None:
    (tmp_path / "fork.py").write_text(FORK)
    subprocess.run(
        [sys.executable, "fork.py", "gained", "qvrf"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        check=True,
        timeout=300,
    )


HELD = """
import os, threading, time
from PIL import Image
from vrcodec.limits import DEFAULT_LIMITS
from vrcodec.kernels.workers import computing
from vrcodec.picture.intake.pixel_limit import pillow_pixel_limit

limit = Image.MAX_IMAGE_PIXELS
begun = threading.Event()

def hold():
    with pillow_pixel_limit(DEFAULT_LIMITS, "x"), computing():
        begun.set()
        time.sleep(1)

threading.Thread(target=hold).start()
begun.wait()
child = os.fork()
if not child:
    with pillow_pixel_limit(DEFAULT_LIMITS, "x"), computing():
        pass
    os._exit(Image.MAX_IMAGE_PIXELS != limit)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_nor_for_what_another_thread_held() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", HELD], env=environment, check=True, timeout=60)


OVERLAP = """
import threading
from threadpoolctl import ThreadpoolController
from vrcodec.kernels.workers import computing

controller = ThreadpoolController().select(user_api="blas")
counts = lambda: {library["num_threads"] for library in controller.info()}
first_in, second_in, first_out = (threading.Event() for _ in range(3))

def first():
    with computing():
        first_in.set()
        second_in.wait(10)
    first_out.set()

def second():
    first_in.wait(10)
    with computing():
        second_in.set()
        first_out.wait(10)

before = counts()
threads = [threading.Thread(target=work) for work in (first, second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counts() == before, counts()
with computing():
    assert counts() <= {1}
assert counts() == before, counts()
"""


def test_numpy_has_its_threads_again() -> None:
    """Whoever leaves last, as many as the first one found."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", OVERLAP], env=environment, check=True, timeout=60)


def test_threads_share_a_cache_of_what_goes_with_a_picture() -> None:
    """Each gets the alpha of its own."""
    cache = AuxiliaryChunkCache()
    interval = sys.getswitchinterval()

    def work(value: int) -> bool:
        picture = Picture.from_array(np.full((2, 2, 4), value, np.uint8))
        expected = auxiliary_chunks(picture)
        return all(cache.chunks(picture) == expected for _ in range(100))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(64)))
    finally:
        sys.setswitchinterval(interval)


def test_threads_code_side_by_side(photograph: Pixels) -> None:
    expected = {model: vrcodec.encode(photograph, 0.5, model=model) for model in ("gained", "qvrf")}
    found: list[bool] = []

    def work(model: str) -> None:
        for _ in range(3):
            with torch.no_grad():
                data = vrcodec.encode(photograph, 0.5, model=model)
            found.append(data == expected[model] and not torch.is_inference_mode_enabled())

    threads = [threading.Thread(target=work, args=(model,)) for model in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 12
