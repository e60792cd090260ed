"""The command line: `respfix serve`, `respfix repair`, `respfix check`, `respfix defects`, `respfix demo`.

Every error is one line that says what to do. Exit codes: 0, 1 when something failed while running, 2 for wrong usage
or configuration, and the shell's own for Ctrl-C and for a reader that went away, which are said to nobody.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from respfix import __version__, catalogue
from respfix.check import command as check
from respfix.config import SETTINGS, Config, ConfigError, Given, build, nearest
from respfix.config.rendering import render
from respfix.config.sources import DEFAULT_FILE, gather
from respfix.stream import Ending, Mender, Options, Report
from respfix.stream.defects import DEFECTS
from respfix.stream.dialects import DIALECTS

FAILED, MISUSED = 1, 2
INTERRUPTED, NOBODY_READS = 128 + 2, 128 + 13  # what a shell reports for SIGINT and SIGPIPE

CHUNK = 2**16  # what one read of a pipe gives at most on Linux

SERVE_FLAGS = {
    # setting: (flag, placeholder, help); what is not here is set in the file or the environment
    "upstream": ("--upstream", "URL", "the server whose streams are repaired"),
    "listen": ("--listen", "HOST:PORT", "where clients connect"),
    "repair": ("--repair", "MODE", "on, observe (count defects, change nothing) or off"),
    "dialect": ("--dialect", "NAME", f"auto, or one of {', '.join(DIALECTS)}: whose habits to respect"),
    "disable": ("--disable", "DEFECT", "leave this defect alone"),
    "enable": ("--enable", "DEFECT", "repair this defect, which is off by default"),
    "hosts": ("--allow-host", "NAME", "a name that clients may call respfix by"),
}


# What other servers and proxies call them.
ELSEWHERE = dict.fromkeys(("--address", "--bind", "--host", "--port"), "--listen HOST:PORT")
ELSEWHERE |= dict.fromkeys(("--backend", "--base-url", "--target", "--url"), "--upstream URL")


class Parser(argparse.ArgumentParser):
    """Errors in one line, examples as they were written."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)  # type: ignore[arg-type]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is left over here, where the options are known that could have been meant."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            meant = ELSEWHERE.get(word, "")
            is_here = meant.partition(" ")[0] in self._option_string_actions
            hint = f"; here it is {meant}" if is_here else nearest(word, self._option_string_actions)
            self.error(f"there is no option {word!r}{hint}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the right usage stands, and leave."""
        self.exit(MISUSED, f"respfix: error: {message}; see `{self.prog} --help`\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("--") and words[0] not in {"--help", "--version"}:
        words.insert(0, "serve")
    try:
        try:
            args = _parser().parse_args(words)
            command: Callable[[argparse.Namespace], int] = args.command
            return command(args)
        finally:
            sys.stdout.flush()
    except ConfigError as error:
        return _fail(MISUSED, str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return NOBODY_READS
    except OSError as error:
        _forget_output()
        return _fail(FAILED, f"{error.filename or 'reading or writing'}: {error.strerror}")


def _forget_output() -> None:
    """Drop what could not be written: Python flushes once more when it leaves, and would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(code: int, message: str) -> int:
    print(f"respfix: error: {message}", file=sys.stderr)
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="respfix",
        description="Repairs the event streams of OpenAI-Responses-API servers while they flow.",
        epilog="example:\n  respfix serve --upstream http://127.0.0.1:8080",
    )
    parser.add_argument("--version", action="version", version=f"respfix {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _serve_parser(commands)
    _repair_parser(commands)
    check.add_to(commands)
    catalogue.add_to(commands)
    _demo_parser(commands)
    return parser


def _serve_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="relay requests to an upstream and repair what it streams back",
        description="Relay every request unchanged to the upstream and repair its Responses streams on the way back.",
        epilog="Every setting can also be given in the file (see config.example.yaml) or as a variable such as\n"
        "RESPFIX_TIMEOUTS_IDLE=600; flags beat variables, variables beat the file.\n\n"
        "example:\n  respfix serve --upstream http://127.0.0.1:8080 --listen 127.0.0.1:8081",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"a YAML file (default: {DEFAULT_FILE}, if it is there)"
    )
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="print the effective configuration and who set it, or what is wrong with it and the files it names",
    )
    for setting, (flag, placeholder, text) in SERVE_FLAGS.items():
        repeated = SETTINGS[setting].is_list
        default = getattr(Config(), setting)
        shown = f" (default: {', '.join(map(str, default)) if repeated else default})" if default else ""
        ending = shown + "; may be repeated" * repeated
        action = "append" if repeated else "store"
        parser.add_argument(flag, dest=setting, action=action, metavar=placeholder, help=text + ending)
    parser.set_defaults(command=_serve)


def _serve(args: argparse.Namespace) -> int:
    flags = {}
    for setting, (flag, _, _) in SERVE_FLAGS.items():
        words = getattr(args, setting)
        if words is not None:
            flags[setting] = Given(words if isinstance(words, str) else ",".join(words), flag)

    def load() -> Config:
        return build(gather(args.config, os.environ, flags))

    if args.check_config:
        from respfix import tls
        from respfix.capture import Capture

        given = gather(args.config, os.environ, flags)
        config = build(given)
        tls.look_at_files(config)
        Capture.look_at_folder(config.capture)
        print(render(config, given), end="")
        return 0
    config = load()

    from respfix import journal, process
    from respfix.edge import StartError

    journal.write_to_stderr(config.log.format)
    try:
        process.run(config, load)
    except StartError as error:
        return _fail(FAILED, str(error))
    return 0


def _repair_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "repair",
        help="repair a recorded stream: a filter from SSE to SSE",
        description="Read an event stream and write the stream that OpenAI would have sent; what was repaired is\n"
        "said on stderr.",
        epilog="example:\n  respfix repair < broken.sse > repaired.sse\n"
        "  curl -sN http://127.0.0.1:8080/v1/responses -d @request.json | respfix repair",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the stream (default: standard input)")
    parser.add_argument("--dialect", choices=list(DIALECTS), default="default", help="whose habits to respect")
    parser.add_argument(
        "--disable", action="append", default=[], metavar="DEFECT", help="leave this defect alone; may be repeated"
    )
    parser.add_argument(
        "--enable", action="append", default=[], metavar="DEFECT", help="repair this defect too; may be repeated"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing about what was repaired")
    parser.set_defaults(command=_repair)


def _repair(args: argparse.Namespace) -> int:
    given = {name: Given(",".join(getattr(args, name)), f"--{name}") for name in ("disable", "enable")}
    config = build(given)
    mender = Mender(
        Options(now=int(time.time()), dialect=args.dialect, off=frozenset(config.disable), on=frozenset(config.enable))
    )
    with args.file.open("rb") if args.file else open(0, "rb", closefd=False) as stream:
        _pour(stream, mender, sys.stdout.buffer)
    if not args.quiet:
        print(summary(mender.report), file=sys.stderr)
    return 0


def _pour(stream: BufferedReader, mender: Mender, out: BinaryIO) -> None:
    """Each read is answered at once, so that the filter can stand in a live pipe."""
    while chunk := stream.read1(CHUNK):
        out.write(mender.feed(chunk))
        out.flush()
    out.write(mender.close(Ending.COMPLETE))
    out.flush()


def summary(report: Report) -> str:
    """What was repaired, for people."""
    changes = f"{report.inserted} inserted, {report.rewritten} rewritten, {report.dropped} dropped"
    lines = [f"respfix: {report.events_in} events in, {report.events_out} out ({changes})"]
    if not report.defects:
        lines.append("  nothing to repair")
    width = max(map(len, report.defects), default=0)
    lines += [f"  {slug:<{width}} {count:>5} x  {DEFECTS[slug].wrong}" for slug, count in report.defects.most_common()]
    if report.stopped:
        lines.append(f"  the repair stopped ({report.stopped}); the rest of the stream is as it came")
    return "\n".join(lines)


def _demo_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="show a broken stream before and after",
        description="Start a broken upstream and respfix in front of it, and show what a client sees of both.",
        epilog="example:\n  respfix demo\n  respfix demo --serve",
    )
    parser.add_argument("--serve", action="store_true", help="keep both running, to try a client of your own")
    parser.add_argument(
        "--port",
        type=_port,
        metavar="PORT",
        help="with --serve: the broken server's port; respfix takes the next one (default: 8080, or what is free)",
    )
    parser.set_defaults(command=_demo)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16 - 1:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to {2**16 - 2}, such as 8080, not {text!r}")
    return int(text)


def _demo(args: argparse.Namespace) -> int:
    from respfix import demo

    return demo.run(serve=args.serve, port=args.port)
