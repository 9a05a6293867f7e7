"""How many of all the dialogues of `real_dialogues` each GROUPING merges and splits: the table of docs/identity.md.

Run ``python tests/benchmarks/grouping.py``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import real_dialogues
from test_grouping import Outcome, with_own_first_exchange, with_own_opening


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        dialogues = real_dialogues.dialogues(real_dialogues.fetch(directory))
        requests = sum(len(dialogue.messages) // 2 for dialogue in dialogues)
        print(f"{len(dialogues)} dialogues, {requests} requests")
        groups = {
            "all": dialogues,
            "with a first exchange of their own": with_own_first_exchange(dialogues),
            "with first words of their own": with_own_opening(dialogues),
        }
        for grouping in ("lineage", "dialogue", "seed"):
            outcome = Outcome(directory / grouping, grouping, dialogues)
            for group, members in groups.items():
                split, merged = outcome.split(members), outcome.merged(members)
                print(
                    f"{grouping:8} {group:35} {len(members)}: split {split} ({100 * split / len(members):.1f} %),"
                    f" merged {merged} ({100 * merged / len(members):.1f} %)"
                )


if __name__ == "__main__":
    main()
