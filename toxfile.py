"""A plugin of this project's tox.ini: environments that share a folder, and those of a version of
the user's choice.

The tests and the record of a backend need the same packages, so they name the same ``env_dir``. tox
writes down which environment a folder belongs to, and empties it when another one comes along;
here the name is left out of that note, so that nothing is installed twice. Packages that change
still make tox rebuild the folder.

``DEEP_RNN_TENSORFLOW=2.19.1 tox -e tensorflow`` installs that version, and what must go with it, in
a folder of its own; so for the other frameworks, and for ``tensorflow-record``.
"""

import os

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import EnvConfigSet
from tox.plugin import impl
from tox.report import HandledError
from tox.session.state import State
from tox.tox_env.info import Info
from tox.tox_env.python.pip.req_file import PythonDeps
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister

from common.errors import BadInput
from conformance.versions.wanted import parse_wanted, requirements


class NamelessInfo(Info):
    """What tox knows of a folder, without whose it is."""

    def compare(self, value, section, sub_section=None):
        if section == "ToxEnv":
            value = value | {"name": "shared"}
        return super().compare(value, section, sub_section)


class SharedRunner(VirtualEnvRunner):
    """tox's ordinary virtual environment in a folder that others may use as well."""

    @staticmethod
    def id() -> str:
        return "shared"

    @property
    def cache(self) -> Info:
        return NamelessInfo(self.env_dir)


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """tox.ini asks for it with ``runner = shared``."""
    register.add_run_env(SharedRunner)


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Another version of the framework, if the user names one."""
    backend, _, kind = env_conf.name.partition("-")
    variable = f"DEEP_RNN_{backend.upper()}"
    if kind not in ("", "record") or not (asked := os.environ.get(variable)):
        return
    try:
        packages = requirements(backend, parse_wanted(asked, variable))
    except BadInput as error:
        raise HandledError(str(error)) from None
    folder = state.conf.core["work_dir"] / f"{backend}-{asked.replace(',', '-')}"
    deps = PythonDeps("\n".join(packages), state.conf.core["tox_root"])
    env_conf.loaders.insert(0, MemoryLoader(env_dir=folder, deps=deps))
    if not kind:  # tests: an older XLA ends the process at a flag that it does not know
        env_conf["set_env"].update({"XLA_FLAGS": "--xla_backend_optimization_level=0"})
