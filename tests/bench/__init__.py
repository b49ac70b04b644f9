"""Programs that measure: `python -m tests.bench.gen`. pytest does not collect them; figures are no tests."""
