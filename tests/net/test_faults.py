"""Every row of the fault list."""

from __future__ import annotations

import pytest

from ..support import faults

ROWS = list(faults.rows())


@pytest.mark.parametrize("fault", ROWS, ids=[f"{row.api}: {row.name}" for row in ROWS])
def test_fault(fault):
    assert faults.differences(fault, faults.run(fault)) == []
