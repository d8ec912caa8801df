"""`python -m iaca.inference INPUT OUTPUT`: valence and arousal of videos without Kedro.

Files and rules are those of `kedro run --pipelines inference`: both carry out the same plan.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from iaca.encoders.config import Fetching
from iaca.engine import ExecutorConfig, results, run_tasks
from iaca.errors import INTERRUPTED, InputError, counted, permission_errors, printable
from iaca.faces.detect import FaceConfig
from iaca.files import write_text
from iaca.inference.config import NAMED, ZERO_SHOT, InferenceConfig, find_models
from iaca.inference.write import plan_inference, summarise_inference
from iaca.media.container import MediaLimits
from iaca.parameters import faults

SUFFIX, TABLE = ".json", "inference_summary.csv"


def main(given: Sequence[str] | None = None) -> int:
    """Analyse the videos that are new or have changed; return 1 if that is not possible."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = _parser().parse_args(given)
    place = {} if arguments.device is None else {"device": arguments.device}
    try:
        config = InferenceConfig(
            input=arguments.input,
            output=arguments.output,
            model=tuple(arguments.model) if arguments.model else None,
            people=arguments.people,
            overlay=arguments.overlay,
            plot=arguments.plot,
            words=arguments.words,
            **place,
        )
        executor = ExecutorConfig() if arguments.jobs is None else ExecutorConfig(workers=arguments.jobs)
        models = find_models(ZERO_SHOT) if config.model is None else []
        fetching = Fetching(download=arguments.download)
        with permission_errors():
            tasks = plan_inference(config, FaceConfig(**place), models, MediaLimits(), fetching)
            folder = Path(config.output)
            run_tasks(tasks, folder, SUFFIX, executor, prune=False)
            found = results(folder, SUFFIX)
            write_text(folder / TABLE, summarise_inference(found).to_csv(index=False))
    except (InputError, ValidationError) as error:
        message = faults(error) if isinstance(error, ValidationError) else str(error)
        sys.stderr.write(f"{printable(message)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        return 130
    sys.stdout.write(f"{counted(len(found), 'video')} in {folder}: {TABLE} lists them\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m iaca.inference", description="Valence and arousal of videos.")
    parser.add_argument("input", metavar="INPUT", help="a video, a folder of videos, or a pattern in quotes")
    parser.add_argument("output", metavar="OUTPUT", help="folder for tables, plots, overlay videos and summaries")
    parser.add_argument(
        "--model",
        action="append",
        help=f"model file, {' or '.join(NAMED)}, or OWNER/NAME of the hub; several files are averaged ({ZERO_SHOT})",
    )
    parser.add_argument(
        "--people",
        choices=("main", "all"),
        default=InferenceConfig.model_fields["people"].default,
        help="(%(default)s)",
    )
    parser.add_argument("--words", action="store_true", help="quadrant and nearest emotion word in the tables")
    parser.add_argument("--no-overlay", dest="overlay", action="store_false", help="no overlay video: faster")
    parser.add_argument("--no-plot", dest="plot", action="store_false", help="no plot")
    parser.add_argument("--download", action="store_true", help="get weights of encoders that are missing")
    parser.add_argument("--device", help="of detector, encoders and models: auto, cpu, cuda, cuda:0, ...")
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (one per core)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
