"""The command line of `respfix check`; what it does is loaded when it does it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from respfix.config import ConfigError
from respfix.config.sources import MODEL_VARIABLE
from respfix.stream.dialects import DIALECTS

if TYPE_CHECKING:
    from respfix.check.findings import Judgement
    from respfix.check.source import Question

CLEAN, DEFECTIVE, FAILED = 0, 1, 1
KEY_VARIABLE = "OPENAI_API_KEY"
PROMPT = "Reply with one short sentence."
PATIENCE = 300.0  # seconds; a model may think for minutes before its first word


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "check",
        help="judge a stream: what is wrong with it, and which clients break on it",
        description="Read an event stream from a file, a pipe (-) or a server (URL), and say what is wrong with it,\n"
        "where, what should have come, and which clients break. It sees what the repair sees. Exit code 0 if there\n"
        "is nothing to repair, 1 if there is, 2 for wrong usage.",
        epilog="example:\n  respfix check broken.sse\n"
        "  respfix check --report http://127.0.0.1:8080/v1 --model gpt-5.5 > report.md\n"
        "  respfix check --format sarif broken.sse > broken.sarif",
    )
    parser.add_argument("source", metavar="FILE|-|URL", help="the stream, or a server, which is asked once")
    parser.add_argument("--dialect", choices=list(DIALECTS), default="default", help="whose habits to respect")
    telling = parser.add_mutually_exclusive_group()
    telling.add_argument(
        "--format", choices=["human", "json", "sarif", "junit"], default="human", help="how to tell (default: human)"
    )
    telling.add_argument("--report", action="store_true", help="write Markdown for a bug report, without secrets")
    parser.add_argument("--all", action="store_true", help="tell every place of a defect, not only the first")
    asking = parser.add_argument_group("with a URL", "A URL that ends in /v1 is a base URL; /responses is added.")
    asking.add_argument("--model", help=f"the model to ask (default: {MODEL_VARIABLE})")
    asking.add_argument("--key", help=f"the server's key (default: {KEY_VARIABLE}, which other users cannot see)")
    asking.add_argument("--prompt", default=PROMPT, help="what to ask (default: for one short sentence)")
    asking.add_argument(
        "--timeout", type=_seconds, default=PATIENCE, help=f"seconds of silence to bear (default: {PATIENCE:g})"
    )
    asking.add_argument("--save", type=Path, metavar="FILE", help="write what the server sent, byte for byte")
    parser.set_defaults(command=_check)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, such as 60, not {text!r}")
    return seconds


def _check(args: argparse.Namespace) -> int:
    from respfix.check.findings import judge
    from respfix.check.source import SourceError, asked, is_url, opened, refuse_what_is_no_stream

    secrets: list[str] = []
    try:
        if is_url(args.source):
            question = _question(args)
            secrets = question.secrets
            recording = asked(question)
            if args.save:
                args.save.write_bytes(recording.body)
        elif args.save:
            raise ConfigError("--save: only what a server sends is saved; give a URL")
        else:
            recording = opened(args.source)
        refuse_what_is_no_stream(recording.body, secrets)
    except SourceError as error:
        print(f"respfix: error: {error}", file=sys.stderr)
        return FAILED
    now = datetime.now(UTC)
    judgement = judge(recording.body, recording.ending, args.dialect, int(now.timestamp()))
    _tell(judgement, args, now.date(), secrets)
    return CLEAN if judgement.is_clean else DEFECTIVE


def _question(args: argparse.Namespace) -> Question:
    from respfix.check.source import Question

    model = args.model or os.environ.get(MODEL_VARIABLE)
    if not model:
        raise ConfigError(f"a server has to be asked for a model: give --model, or set {MODEL_VARIABLE}")
    key = args.key if args.key is not None else os.environ.get(KEY_VARIABLE, "")
    return Question(args.source, model, key, args.prompt, args.timeout)


def _tell(judgement: Judgement, args: argparse.Namespace, day: date, secrets: list[str]) -> None:
    from respfix.check import formats, page, report, source

    name = source.shown(args.source)
    if args.report:
        print(report.report(judgement, _public(args.source), day, secrets), end="")
    elif args.format == "human":
        page.show(judgement, name, page.Page(sys.stdout), every=args.all)
    else:
        write: Callable[..., str] = formats.FORMATS[args.format]
        print(write(judgement, name, every=args.all))


def _public(source: str) -> str:
    """What may be told to strangers: a server's host, a file's name."""
    host = urlsplit(source).hostname if "://" in source else None
    if host:
        return f"the server {host}"
    return "a recording from standard input" if source == "-" else f"the recording {Path(source).name}"
