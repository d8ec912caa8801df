"""A program that trains on two processes: `python two_processes.py FOLDER STRATEGY`, run by `test_two_processes.py`.

It writes down that it ran, and each process what it ended with. A strategy that starts a process per device by running
the program again would be seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from synthetic_clips import AUDIO_DIM, VISUAL_DIM, annotated_clips

from iaca.fusion import preset
from iaca.training import train as single
from iaca.training.config import TrainingConfig
from iaca.training.model_file import save_model
from iaca.training.train import FusionTraining, TrainingRun, train

CONFIG = TrainingConfig(
    length=60, hop=40, batch_size=2, epochs=5, learning_rate=3e-3, accelerator="cpu", devices=2, threads=1
)


class Reporting(FusionTraining):
    """Writes what this process ended with."""

    def on_fit_end(self) -> None:
        digest = hashlib.sha256()
        for tensor in self.model.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        rank, world = self.trainer.global_rank, self.trainer.world_size
        end = {"weights": digest.hexdigest(), "history": self.history, "world": world, "pid": os.getpid()}
        (Path(os.environ["IACA_TEST_FOLDER"]) / f"rank{rank}.json").write_text(json.dumps(end))


def main(folder: Path, strategy: str) -> None:
    with (folder / "called").open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.environ["IACA_TEST_FOLDER"] = str(folder)
    single.FusionTraining = Reporting
    fusion = preset("iaca", AUDIO_DIM, VISUAL_DIM, width=16, heads=2)
    config = CONFIG.model_copy(update={"strategy": strategy})
    data, held_out = annotated_clips(12, steps=120), annotated_clips(4, first=100, steps=120)
    model, history = train(TrainingRun(fusion, config, data, held_out, folder / "checkpoints"))
    save_model(model, folder / "model.safetensors")
    history.to_csv(folder / "history.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
