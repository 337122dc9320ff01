"""A plugin of this project's tox.ini: environments that share a folder.

The tests and the record of a backend need the same packages, so they name the same ``env_dir``. tox
writes down which environment a folder belongs to, and empties it when another one comes along;
here the name is left out of that note, so that nothing is installed twice. Packages that change
still make tox rebuild the folder.
"""

from tox.plugin import impl
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


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
