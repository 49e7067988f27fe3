"""How far the server's estimate of token counts is from a vendor's tokenizer, for texts of many kinds.

``token_counts.json`` holds the texts with their recorded counts by the two public vocabularies of OpenAI's
models: ``o200k_base`` (GPT-4o and later) and ``cl100k_base`` (GPT-4). The other vendors have published none
for their present models. Nothing is timed, and the recorded counts need no tokenizer.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from statistics import fmean
from typing import Final

from benchmarks.report import print_table
from cliproxy.ir.estimate import estimate_text

SAMPLES: Final = Path(__file__).with_name("token_counts.json")
VOCABULARIES: Final = ("o200k_base", "cl100k_base")


def add_options(_parser: ArgumentParser) -> None:
    """Declare nothing: there is nothing to choose."""


async def main(_options: Namespace) -> int:
    """Compare and print."""
    samples = json.loads(SAMPLES.read_text(encoding="utf-8"))
    rows: list[list[str]] = []
    errors: dict[str, list[float]] = {name: [] for name in VOCABULARIES}
    for sample in samples:
        estimated = estimate_text(sample["text"])
        row = [sample["kind"], str(len(sample["text"])), str(estimated)]
        for name in VOCABULARIES:
            error = estimated / sample["tokens"][name] - 1
            errors[name].append(abs(error))
            row += [str(sample["tokens"][name]), f"{error:+.0%}"]
        rows.append(row)
    head = ["text", "characters", "estimated"]
    print_table(head + [title for name in VOCABULARIES for title in (name, "error")], rows)
    for name in VOCABULARIES:
        print(f"{name}: {fmean(errors[name]):.0%} off on average, {max(errors[name]):.0%} at worst")
    return 0
