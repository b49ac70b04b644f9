"""Modules of the standard library that click imports and a command seldom needs: they are loaded at their first use.

Only the command line does this: a program that imports the library gets every module as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from types import ModuleType

_lock = Lock()


class LazyModule(ModuleType):
    """Stands in `sys.modules` for a module, which it loads when an attribute is read that it does not have."""

    def __getattr__(self, name: str) -> object:
        if name == "__path__":  # which `from inspect import ...` looks for, and only packages have
            raise AttributeError(name)
        self.leave()
        return getattr(import_module(self.__name__), name)

    def leave(self) -> None:
        """Makes the next import find the module itself."""
        with _lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]


def _defer(name: str) -> LazyModule:
    module = LazyModule(name)
    sys.modules.setdefault(name, module)
    return module


@contextmanager
def while_click_loads() -> Iterator[None]:
    """A context in which click can be imported without modules that take a third of its time.

    `inspect` stays deferred, for `dataclasses`, which pycurl imports. click's own messages are not translated. `UUID`
    stands for itself where click names it as the parameter of a generic class.
    """
    _defer("inspect")
    gettext, uuid = _defer("gettext"), _defer("uuid")
    vars(gettext).update(gettext=lambda message: message, ngettext=lambda one, more, n: one if n == 1 else more)
    vars(uuid).update(UUID=object)
    yield
    gettext.leave()
    uuid.leave()
    del vars(uuid)["UUID"]
