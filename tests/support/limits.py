"""How long tests wait for what has to happen; only a stuck test ever waits so long.

The variable TEST_PATIENCE multiplies all limits, for machines that are very busy or very slow.
"""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
WAIT_S = 40 * PATIENCE  # for one step: a line of output, a request, the end of a process
RUN_S = 120 * PATIENCE  # for a program from its start to its end
INSTALL_S = 300 * PATIENCE  # for a package manager
