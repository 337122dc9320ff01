"""Which backend the tests of this environment are about: ``pytest --backend NAME``."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends import registry
from common.corpus import load_corpus
from common.errors import EXIT_PASS
from conformance.cases.given import Given
from conformance.worker.lifetime import be_collected_seldom

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from conformance.calibrate.certify import Certificate

CERTIFY = ("certify", "--markdown", "docs/detecting-power.md")
"""The README's command, whose run serves all tests that ask for what it finds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=sorted(registry.modules()), help="the backend under test")


def pytest_configure() -> None:
    """Ctrl-C is tried here, and a shell that starts the tests in the background has SIGINT ignored
    by them. Whatever they start would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    be_collected_seldom()


def pytest_collection_finish() -> None:
    """Thousands of tests stay in memory to the end, and so does the framework."""
    be_collected_seldom()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``implementation`` runs over the backend's own: equations, and layers if it has them."""
    if "implementation" in metafunc.fixturenames:
        name = metafunc.config.getoption("--backend")
        names = registry.load(name).IMPLEMENTATIONS if name else ["no backend named"]
        metafunc.parametrize("implementation", names)


@pytest.fixture
def backend_name(request: pytest.FixtureRequest) -> str:
    name = request.config.getoption("--backend")
    if name is None:
        pytest.skip("no backend named: pytest --backend NAME, in its environment")
    return name


@pytest.fixture
def backend(backend_name: str) -> registry.Backend:
    return registry.load(backend_name)


@pytest.fixture
def dtype(backend: registry.Backend) -> str:
    """The one whose bounds are narrowest, of those that the backend computes in."""
    part = getattr(backend, "PART", None)
    return part.dtypes[0] if part else "float64"


@pytest.fixture(scope="session")
def sample() -> Given:
    """The embedded text."""
    return Given(load_corpus())


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not outlive a loss of power, for which a file is waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> "Certificate":
    """Of every case, as the README's command makes it; it has written its page as well."""
    from conformance.__main__ import main
    from conformance.calibrate import command

    certificates = []

    def certify(*arguments, **options):
        certificates.append(certify_all(*arguments, **options))
        return certificates[0]

    certify_all, folder = command.certify, tmp_path_factory.mktemp("certified")
    (folder / "docs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "certify", certify)
        patch.chdir(folder)
        assert main([*CERTIFY, "--quiet"]) == EXIT_PASS
    (made,) = certificates
    assert (folder / CERTIFY[-1]).read_text(encoding="utf-8") == command.markdown(made)
    return made


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of texts beside the repository; without it, what needs them skips."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("DEEP_RNN_DATA", root.parent / "shared" / "data"))
    if not (folder / "timemachine.txt").exists():
        pytest.skip("needs The Time Machine: set DEEP_RNN_DATA to a folder with timemachine.txt")
    return folder


@pytest.fixture
def there_is_a_gpu(backend: registry.Backend) -> Iterator[None]:
    from common.errors import BadInput

    try:
        backend.implementation("equations", "gpu", "float64")
    except BadInput as reason:
        pytest.skip(f"needs a GPU: {reason}")
    yield


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    reason = "needs the packages of requirements/browser.txt"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    with api.sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root, as in a container; the pages are ours.
        options = ["--no-sandbox"]
        made = playwright.chromium.launch(executable_path=found, args=options)
        yield made
        made.close()
