"""What holds for all tests: `--update-golden`, slow tests only where asked for, a browser, a way to run JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # or scikit-learn leaves one of its checks of estimators out

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"


PROCESSORS = getattr(os, "sched_getaffinity", lambda _: set())(0)


def _own_processors() -> set[int]:
    """This worker's share of the processors, all of them where there are no workers or too many."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    return set(sorted(PROCESSORS)[int(worker[2:]) :: int(count)]) or PROCESSORS


def _stay_on(processors: set[int]) -> None:
    if processors:  # not every system can be told
        os.sched_setaffinity(0, processors)


# Two workers that each train on two processors wait for one another, and spend half as much time again on it.
_stay_on(_own_processors())


@pytest.fixture
def all_processors() -> Iterator[None]:
    """For tests of several threads: what this worker would leave to the others."""
    _stay_on(PROCESSORS)
    yield
    _stay_on(_own_processors())


class Golden(Protocol):
    def __call__(self, name: str, text: str, hint: str = "") -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/; review the difference")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session", autouse=True)
def caches(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the caches of whoever runs the tests alone. All workers and runs share one: nothing is compiled twice."""
    kept = getattr(request.config, "cache", None)  # pytest's own, which -p no:cacheprovider leaves out
    folder = tmp_path_factory.mktemp("cache") if kept is None else kept.mkdir("lanewise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with tests/golden/<name>, or with --update-golden write it there."""

    def compare(name: str, text: str, hint: str = "") -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path.name} is missing: run `pytest --update-golden` and review what it wrote"
        assert text == path.read_text(), f"{name} differs; if that is meant, {hint}run `pytest --update-golden`"

    return compare


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium without a window, one for all tests (a `playwright.sync_api.Browser`)."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser, and is not installed")
    _stay_on(PROCESSORS)  # for its many processes, which inherit this
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        _stay_on(_own_processors())
        yield chromium
        chromium.close()


class Clock:
    """Time as training sees it, that passes by work alone: so long a step, on any machine, busy or not."""

    STEP = 1 / 256

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let training, and what limits it to a time, go by a clock that only its steps move."""
    from lanewise.engine.trainer import Trainer
    from lanewise.training import checkpoint, new_head

    clock, run = Clock(), Trainer.run

    def counted(self: Trainer, pixels: Any, steps: Any) -> Any:
        result = run(self, pixels, steps)
        clock.steps += len(steps.images)
        clock.now += len(steps.images) * clock.STEP
        return result

    monkeypatch.setattr(Trainer, "run", counted)
    for module in (checkpoint, new_head):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(scope="session")
def javascript(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Run the body of a JavaScript function and return what it returns, by way of JSON: in Node, else in Chromium."""
    node = shutil.which("node")
    if node is not None:

        def run(body: str) -> Any:
            script = f"console.log(JSON.stringify((() => {{{body}}})()))"
            done = subprocess.run([node, "-"], input=script, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        return run
    page = request.getfixturevalue("browser").new_page()
    return lambda body: page.evaluate(f"() => {{{body}}}")
