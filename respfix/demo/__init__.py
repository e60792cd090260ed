"""`respfix demo`: a broken server, respfix in front of it, and what strict clients make of both.

    client -> broken server                  the same question, asked twice
    client -> respfix -> broken server

It needs nothing but this package, shows each answer before and after, and fails if the repair did not do what it says.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from io import TextIOWrapper
from typing import TextIO

from respfix.demo import client
from respfix.demo.answer import Answer
from respfix.demo.comparison import rows
from respfix.demo.readers import Reading
from respfix.demo.screen import Screen, prefix_for
from respfix.demo.stage import Repair, hold, staged
from respfix.demo.streams import STORIES, STREAMS
from respfix.edge import StartError
from respfix.stream.defects import DEFECTS

__all__ = ["STREAMS", "run"]

PACE = 0.01  # seconds between two events; a model takes longer, and a demo should not


def run(*, serve: bool = False, port: int | None = None, repair: Repair = "on", out: TextIO | None = None) -> int:
    """Show the demo, or keep its servers running; the exit code."""
    if out is None and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without a sign shows ? instead of ending the demo
    screen = Screen(out or sys.stdout)
    try:
        if serve:
            asyncio.run(hold(screen, port))
            return 0
        problems = asyncio.run(_show(screen, repair))
    except (StartError, client.StreamError) as error:
        problems = [str(error)]
    for problem in problems:
        print(f"respfix: error: {problem}", file=sys.stderr)
    return 1 if problems else 0


async def _show(screen: Screen, repair: Repair) -> list[str]:
    """Show every answer; gives what the repair did not do although it says so."""
    screen.say(
        "A server with the faults of real ones is running on this machine now, and respfix in front of it. Each answer "
        "is asked for twice and read as two strict clients read it: Codex, and openai-python's responses.stream()."
    )
    screen.say()
    legend = "+ put in by respfix    ~ changed    - left out"
    screen.say(legend if prefix_for(screen.width) else f"{legend}    (names without response.)", "dim")
    problems: list[str] = []
    defects: Counter[str] = Counter()
    async with staged(pace=PACE, repair=repair) as urls, client.connected() as session:
        for number, name in enumerate(STREAMS, 1):
            answer = Answer(name, *await asyncio.gather(*(client.ask(session, url, name) for url in urls)))
            screen.title(f"{number}/{len(STREAMS)}  {STORIES[name]}")
            _show_answer(screen, answer)
            defects += answer.defects
            problems += [f"{name}: {problem}" for problem in answer.problems()]
    screen.title("What was repaired")
    screen.glossary({slug: defect.wrong for slug, defect in DEFECTS.items() if defects[slug]})
    screen.say()
    if not problems:
        screen.say(
            f"Through respfix both clients got all {len(STREAMS)} answers whole; straight from the server neither got "
            "one. To try a client of your own: respfix demo --serve"
        )
    return problems


def _show_answer(screen: Screen, answer: Answer) -> None:
    screen.compare(rows(answer.straight, answer.repaired))
    screen.say()
    nothing = "runs no tool" if answer.is_call else "blank reply"
    for name, both in answer.readings().items():
        screen.reading(name, [(_told(reading, nothing), answer.is_right(reading)) for reading in both])
    screen.say("repaired: " + (", ".join(answer.defects) or "nothing"), "dim", indent="  ")


def _told(reading: Reading, nothing: str) -> str:
    """What the user is told: the answer, or the error that stands in its place, or nothing."""
    if reading.shown or reading.is_raised:
        return reading.shown or reading.complaint
    return "; ".join(filter(None, (nothing, reading.complaint)))
