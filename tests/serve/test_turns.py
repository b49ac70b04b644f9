"""A few requests begin in each turn of the loop."""

from __future__ import annotations

import asyncio

from llmstream.serve.turns import TASKS, Turns


def test_a_few_tasks_pass_in_each_turn_of_the_loop() -> None:
    turns, passed, seen = Turns(), [], []

    async def pass_on(number: int) -> None:
        await turns.wait()
        passed.append(number)

    async def main() -> None:
        tasks = [asyncio.create_task(pass_on(number)) for number in range(10)]
        while len(passed) < len(tasks):
            await asyncio.sleep(0)
            seen.append(len(passed))

    asyncio.run(main())
    assert passed == list(range(10))
    assert all(later - earlier <= TASKS for earlier, later in zip([0, *seen], seen, strict=False)), seen


def test_a_cancelled_task_leaves_its_turn_to_the_next() -> None:
    turns, passed = Turns(), []

    async def pass_on(number: int) -> None:
        await turns.wait()
        passed.append(number)

    async def main() -> None:
        tasks = [asyncio.create_task(pass_on(number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert passed == [0, 1, 2, 3, 5]
