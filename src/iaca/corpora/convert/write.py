"""A corpus in its owner's files to one in the layout of `iaca.corpora.features`, whole or not at all."""

from __future__ import annotations

import csv
import logging
import secrets
import shutil
from pathlib import Path

from iaca.corpora.card import FILE, CorpusCard, card_text
from iaca.corpora.convert import avec2019, muse, recola
from iaca.corpora.convert.clip import Conversion, Format
from iaca.corpora.convert.config import ConvertConfig
from iaca.corpora.convert.recordings import Recording
from iaca.corpora.features.partitions import PARTITION_FILE
from iaca.corpora.index import LEFT_OUT, Problem, problem_table
from iaca.engine.run import progress
from iaca.errors import InputError, printable
from iaca.files import LEFTOVER, write_text

CORPORA = {"avec2019": avec2019, "recola": recola, "muse": muse}
PROBLEM_FILE = "conversion_problems.csv"
SHOWN = 10
log = logging.getLogger(__name__)


def convert(corpus: str, source: Path, root: Path, config: ConvertConfig, form: Format = "csv") -> int:
    """Write labels, features, partitions and a card that says what was done to them. Returns the number of clips.

    Everything is written into a hidden folder beside `root` that takes its place at the end: a conversion that was
    interrupted leaves no `root`. A recording that can't be read is left out and stands in `conversion_problems.csv`.

    Raises:
        InputError: `root` holds something, a folder of the source is missing, or no recording, or none of the annotated
            ones, can be converted.
    """
    root = root.absolute()
    if root.exists() and any(root.iterdir()):
        raise InputError("the folder is not empty", root, remedy="give a new folder, or empty this one")
    root.parent.mkdir(parents=True, exist_ok=True)
    reader = CORPORA[corpus]
    partial = root.with_name(f"{LEFTOVER}{secrets.token_hex(4)}-{root.name}")
    conversion = Conversion(source, partial, config, form, reader.UNIT_S)
    found = reader.recordings(source, config, conversion.problems)
    try:
        written = [recording for recording in progress(found, "clips", len(found)) if conversion.write(recording)]
        if not written or (any(r.labels for r in found) and not any(r.labels for r in written)):
            raise _nothing(source, conversion.problems)
        _finish(partial, written, _card(reader.NAME, config), conversion.problems)
        partial.replace(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(written)


def _nothing(source: Path, problems: list[Problem]) -> InputError:
    lost = [row for row in problems if row["effect"] == LEFT_OUT]
    first = lost[0] if lost else {"file": ".", "problem": "no files", "remedy": "give the folder of the corpus"}
    what = f"no annotated recording can be converted; the first problem: {first['file']}: {first['problem']}"
    return InputError(what, source, remedy=str(first["remedy"]))


def _card(name: str, config: ConvertConfig) -> CorpusCard:
    rate = "at their own times" if config.rate is None else f"interpolated to {config.rate:g} Hz"
    scaled = f", multiplied by {config.scale:g}" if config.scale != 1 else ""
    features = {"keep": "at their own times", "nearest": "nearest rows", "mean": "means"}[config.features]
    moved = f"Labels moved by {config.delay:g} s against the annotators' delay"
    return CorpusCard(name=name, caveat=f"{moved}, {rate}{scaled}; features {features}.")


def _finish(root: Path, written: list[Recording], card: CorpusCard, problems: list[Problem]) -> None:
    write_text(root / FILE, card_text(card))
    with (root / PARTITION_FILE).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("clip", "partition", "subject"))
        rows.writerows((r.clip, r.partition, r.subject) for r in written)
    table = problem_table(problems)
    table.to_csv(root / PROBLEM_FILE, index=False)
    left = int((table["effect"] == LEFT_OUT).sum())
    log.log(logging.WARNING if left else logging.INFO, "%d recordings left out, %d notes: %s", left, len(table) - left,
            PROBLEM_FILE)  # fmt: skip
    for row in table[table["effect"] == LEFT_OUT].head(SHOWN).to_dict("records"):
        log.warning("%s", printable(f"{row['clip']}: {row['file']}: {row['problem']}. Remedy: {row['remedy']}"))
