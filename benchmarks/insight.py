"""How well the embedded skills understand, row by row beside the goals, and what an utterance costs.

    python benchmarks/insight.py --data ../shared/nlu                      # train and test files of one folder
    python benchmarks/insight.py --data ../shared/nlu --test OTHER         # test on text kept apart, every row of it
    python benchmarks/insight.py --data ../shared/nlu --rows call,latency --limit 200

Labels of a caller (banking77, CLINC150) are learnt by `insight.intent.Intents`, as a request does it, from examples of
--data, those of MultiDoGO and xSID from all of it; the other rows ask the heads that come with the package. With one
folder only, rows whose text the heads were trained on are marked `seen`. Vectors are kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from aural.insight import embed  # noqa: E402
from aural.insight.embed import EMBEDDERS  # noqa: E402
from benchmarks.insights.bench import Bench, Result  # noqa: E402
from benchmarks.insights.harm import cold, moderation, ordinary  # noqa: E402
from benchmarks.insights.labels import banking, call_emotions, clinc, comments, multidogo, xsid  # noqa: E402
from benchmarks.insights.utterances import calls, latency  # noqa: E402

ROWS: dict[str, Callable[[Bench, str], Iterator[Result]]] = {
    "banking": banking,
    "clinc": clinc,
    "multidogo": multidogo,
    "comments": comments,
    "call": call_emotions,
    "xsid": xsid,
    "cold": cold,
    "moderation": moderation,
    "ordinary": ordinary,
    "calls": calls,
    "latency": latency,
}


def shown(result: Result) -> str:
    goal = "" if result.goal is None else f"{'<=' if result.goal < 0 else '>='} {abs(result.goal):g}"
    row = f"{result.task:44} {result.embedder:26} {result.value:8.4f} {goal:>8} {result.met:>4}"
    return f"{row} n={result.n} {result.note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the text that is learnt from")
    parser.add_argument("--test", type=Path, help="folder with the text that is tested on; the same if not given")
    parser.add_argument("--cache", type=Path, default=Path("."), help="where vectors are kept")
    parser.add_argument("--embedder", choices=list(EMBEDDERS), action="append")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--limit", type=int, default=0, help="rows of each test set; 0 takes all")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    given = parser.parse_args()
    bench = Bench(given.data, given.test or given.data, given.cache, given.limit)
    results = []
    for name in given.embedder or [name for name in EMBEDDERS if embed.is_here(name)]:
        for row in given.rows.split(","):
            for result in ROWS[row](bench, name):
                results.append(result)
                print(shown(result), flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
