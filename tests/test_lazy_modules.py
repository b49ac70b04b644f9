"""Modules that click imports are deferred, and are themselves for whoever uses them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import environment

USES = {
    "attribute": "import inspect; assert inspect.cleandoc('  a') == 'a'; assert 'ast' in sys.modules",
    "name": "from inspect import cleandoc; assert cleandoc('  a') == 'a'",
    "after another": "import inspect as first; first.cleandoc(''); import inspect; assert inspect.__file__; "
    "assert first is not inspect and first.cleandoc is inspect.cleandoc",
    "unknown name": "import inspect\ntry: inspect.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(1)",
    "threads": "import inspect, threading\n"
    "seen = []\n"
    "threads = [threading.Thread(target=lambda: seen.append(inspect.cleandoc)) for _ in range(20)]\n"
    "for thread in threads: thread.start()\n"
    "for thread in threads: thread.join()\n"
    "assert len(seen) == 20 and len(set(seen)) == 1",
    "gettext again": "import gettext; assert gettext.pgettext('a', 'b') == 'b'; assert gettext.__file__",
    "uuid": "import uuid; assert uuid.getnode() > 0; assert uuid.uuid1() != uuid.uuid1()",
    "click's decorators": "import click\n"
    "command = click.command()(click.option('--x', help='''One\n    two''')(lambda x: None))\n"
    "assert 'One two' in command.get_help(click.Context(command))",
    "click's types": "import click\n"
    "assert click.UUID.convert('6ba7b810-9dad-11d1-80b4-00c04fd430c8', None, None).version == 1\n"
    "assert click.DateTime().convert('2026-01-02', None, None).year == 2026",
    "click's translation": "from click.core import _, ngettext\nassert ngettext('a', 'b', 1) + _('c') == 'ac'",
}


@pytest.mark.parametrize("use", USES)
def test_a_deferred_module_is_itself_when_it_is_used(use):
    start = "import sys\nfrom llmstream.lazy_modules import while_click_loads\nwith while_click_loads(): import click\n"
    code = f"{start}assert type(sys.modules['inspect']).__name__ == 'LazyModule'\n{USES[use]}"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_that_is_loaded_stays():
    code = "import gettext, inspect, sys\nfrom llmstream.lazy_modules import while_click_loads\n"
    code += "with while_click_loads(): import click\nassert click.core._ is gettext.gettext\n"
    code += "assert sys.modules['inspect'] is inspect and sys.modules['gettext'] is gettext"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
