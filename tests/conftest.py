"""What all tests share."""

import gc
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

# Before torch and NumPy are loaded, and for every process that a test starts: tiny tensors gain nothing from threads,
# and lose much to them beside another test.
os.environ["OMP_NUM_THREADS"] = "1"
# Hundreds of them import the same checkout, which each would have to compile anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import settings

from augury.running.warm import SERVERS, warm_python

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("patient", deadline=None)  # a busy machine is not a bug
settings.load_profile("patient")

gc.disable()  # of what is imported until the tests begin nothing is garbage; to look for some takes a tenth of the time


def pytest_configure(config: pytest.Config) -> None:
    """Have all test processes (pytest-xdist) fork from one warm Python, which is there before they are."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        warm_python()
        os.environ.pop("AUGURY_WARM_PYTHON", None)  # tests tell for themselves which processes know of it
    elif getattr(config.option, "numprocesses", None):
        os.environ["AUGURY_WARM_PYTHON"] = warm_python()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the run of the whole pipeline, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


def pytest_runtestloop() -> None:  # in the process that hands out tests too, which collects none
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    for server in SERVERS:
        server.communicate()  # it ends, as its standard input does; else nobody would have waited for it
    gc.unfreeze()  # else what lives until the process ends is told as if nobody had closed it


@pytest.fixture(autouse=True)
def nothing_remembered(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every test computes its heads itself."""
    if memory := sys.modules.get("augury.heads.memory"):
        store = tmp_path_factory.getbasetemp() / "heads" / str(id(request.node))
        monkeypatch.setattr(memory, "STORE", store)


@pytest.fixture(scope="module")  # closed at the end of a file: until then its event loop runs in this process
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    from tests.browsing import CHROMIUM, QUIET

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def two_threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
