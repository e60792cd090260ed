"""`python -m bench`: measure, and write down what came out.

python -m bench                the whole, about 25 minutes on two idle cores
python -m bench --quick        the main ratios, about two minutes
python -m bench --report FILE  only write the tables and plots of an earlier run anew
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import resource
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from bench import report
from bench.contenders import CONTENDERS, LITELLM, ROOT
from bench.rounds import SCENARIOS, Bench, starts

RESULTS = ROOT / "bench" / "results"
FILES = 20_000  # open files that 2,000 streams through a proxy need, with room


def main() -> int:
    """Measure, or report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a repaired event costs, side by side.")
    parser.add_argument("--quick", action="store_true", help="the main ratios only")
    parser.add_argument("--rounds", type=int, help="turns of each contender (default: 5, quick: 2)")
    parser.add_argument("--only", default="", metavar="NAME", help="scenarios whose names begin so")
    parser.add_argument("--without", action="append", default=[], choices=list(CONTENDERS), help="leave this one out")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="where results go")
    parser.add_argument("--report", type=Path, metavar="FILE", help="a JSON file of results to write down anew")
    args = parser.parse_args()
    if args.report:
        return report.write(json.loads(args.report.read_text()), args.out)

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    scenarios = [each for each in SCENARIOS.values() if each.name.startswith(args.only)]
    scenarios = [each for each in scenarios if each.is_quick or not args.quick]
    # Installing LiteLLM takes longer than the quick run.
    without = {*args.without, *(("litellm", "haproxy", "off") if args.quick else ())}
    rounds = args.rounds or (2 if args.quick else 5)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), rounds, lambda line: print(line, file=sys.stderr, flush=True))
        began = dt.datetime.now(dt.UTC)
        bench.run(scenarios, [name for name in CONTENDERS if name not in without])
        results = {
            "began": began.isoformat(timespec="minutes"),
            "ended": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
            "machine": machine(),
            "rounds": rounds,
            "skipped": bench.skipped,
            "starts": starts(rounds * 2),
            "measured": bench.measured,
        }
    name = "quick" if args.quick else "partial" if args.only else "results"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    return report.write(results, args.out, name)


def machine() -> dict[str, str]:
    """What it was measured on, and with."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "cpu": f"{len(models)} × {models[0] if models else platform.machine()}",
        "memory": f"{int(Path('/proc/meminfo').read_text().split()[1]) / 2**20:.0f} GiB",
        "load": Path("/proc/loadavg").read_text().split()[0],
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("respfix", "aiohttp", "uvloop")},
        "litellm": LITELLM.partition("==")[2],
    }


if __name__ == "__main__":
    sys.exit(main())
