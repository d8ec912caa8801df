"""Do the quality cues mean what they say? Against the known events of the demo corpus, swapped voices and late sound.

    python benchmarks/cue_validity.py [--data data] [--seeds 1] [--long 8] [--media FILE ...]

Prints the Markdown tables of docs/engineering/cue_validity.md. `--data` holds the demo corpus with its
faces and sound. `--seeds` renders that many more corpora, `--long` that many clips of 40 s without events. One thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from cue_clips import EVENTS, CueClip, recorded, rendered, stored
from cue_offsets import offset_rows, swap_rows
from sklearn.metrics import roc_auc_score

from iaca.corpora.demo.config import DemoConfig
from iaca.encoders.config import EmbeddingConfig
from iaca.encoders.cues import NAMES, FaceCues, sound_cues, synchrony
from iaca.encoders.embed import embed
from iaca.faces import decode_face, read_faces
from iaca.media import read_audio_file

UNSIGNED = ("head_yaw", "head_pitch", "head_roll", "synchrony_lag")  # how far from 0 either way


def auroc(clips: Sequence[CueClip], cue: str, event: tuple[str, str]) -> float:
    """How well a low value tells the steps of such events from those where nothing happens; unknown values left out."""
    truth, values = [], []
    for clip in clips:
        inside, value = clip.during[event], clip.cues[cue]
        kept = (inside | clip.quiet()) & np.isfinite(value)
        truth.append(inside[kept])
        values.append(np.abs(value[kept]) if cue in UNSIGNED else value[kept])
    flags = np.concatenate(truth)
    if flags.all() or not flags.any():
        return float("nan")
    return float(roc_auc_score(flags, -np.concatenate(values)))


def event_rows(clips: Sequence[CueClip]) -> list[list[str]]:
    """AUROC per cue and kind of event; above it how many steps and clips that is, and how many of them show a face."""
    rows = [["cue", "known", *(f"{modality} {kind}" for modality, kind in EVENTS)]]
    masks = {event: [clip.during[event] for clip in clips] for event in EVENTS}
    steps = [str(sum(int(m.sum()) for m in masks[event])) for event in EVENTS]
    many = [str(sum(bool(m.any()) for m in masks[event])) for event in EVENTS]
    faces = [sum(int((m & c.found).sum()) for m, c in zip(masks[event], clips, strict=True)) for event in EVENTS]
    rows += [["*steps*", "", *steps], ["*of them with a face*", "", *map(str, faces)], ["*clips*", "", *many]]
    for cue in NAMES:
        known = float(np.mean(np.isfinite(np.concatenate([clip.cues[cue] for clip in clips]))))
        rows.append([f"`{cue}`", f"{known:.0%}", *(f"{auroc(clips, cue, event):.2f}" for event in EVENTS)])
    return rows


def recording_rows(paths: Sequence[Path]) -> list[list[str]]:
    """What the cues say of recordings about which nothing is known."""
    rows = [["file", "s", "face", "voice activity", "synchrony", "lag known", "lag (s)"]]
    for clip in map(recorded, paths):
        cues, together = clip.cues, clip.heard()
        lag = cues["synchrony_lag"][together]
        told = f"{np.nanmedian(lag):+.2f}" if np.isfinite(lag).any() else "-"
        means = [f"{cues[c][together].mean():.2f}" if together.any() else "-" for c in ("voice_activity", "synchrony")]
        known = f"{np.isfinite(lag).mean():.0%}" if together.any() else "-"
        rows.append([clip.name, f"{clip.times[-1]:.1f}", f"{clip.found.mean():.0%}", *means, known, told])
    return rows


def cost(data: Path, clips: int = 8) -> str:
    """CPU seconds of the cues as a share of those of the whole embedding step, which holds them."""
    files = sorted((data / "03_primary" / "faces").glob("*.parquet"))[:clips]
    spent = {"cues": 0.0, "embedding": 0.0}
    for number, file in enumerate([files[0], *files]):  # the first one warms up
        faces, sound = read_faces(file), read_audio_file(data / "03_primary" / "audio" / f"{file.stem}.flac")
        times, found = faces["time_s"].to_numpy(np.float64), faces["face_found"].to_numpy(bool)
        images = {int(i): decode_face(faces["jpeg"].iloc[i]) for i in np.flatnonzero(found)}
        start = time.process_time()
        seen = FaceCues(faces)
        for index, image in images.items():
            seen.add(index, image)
        cues = {**seen.columns(), **sound_cues(sound.samples, sound.rate, times)}
        synchrony(cues["mouth_opening"], cues["sound_level"], times, found)
        middle = time.process_time()
        embed(faces, faces["jpeg"], sound, EmbeddingConfig(device="cpu"))
        if number:
            spent["cues"] += middle - start
            spent["embedding"] += time.process_time() - middle
    return f"cues take {spent['cues'] / spent['embedding']:.1%} of the embedding step's CPU time ({len(files)} clips)"


def table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)) + "\n"


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--long", type=int, default=8)
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    words = parser.parse_args()
    torch.set_num_threads(1)
    print(cost(words.data), flush=True)
    clips = list(stored(words.data, DemoConfig()))
    for seed in range(1, words.seeds + 1):
        clips += rendered(DemoConfig(seed=seed))
    print(f"\n{len(clips)} clips with events\n\n{table(event_rows(clips))}", flush=True)
    print(table(offset_rows(clips, "demo corpus, with its events")), flush=True)
    print(table(swap_rows(clips, (4.0, 8.0))), flush=True)
    calm = DemoConfig(
        seed=100, identities=max(words.long, 3), clips_per_identity=1, seconds=40, pairs=False, events=False
    )
    long = list(rendered(calm))
    print(f"{len(long)} clips of 40 s without events\n\n{table(offset_rows(long, '40 s without events'))}", flush=True)
    print(table(swap_rows(long, (4.0, 8.0, 16.0))), flush=True)
    if words.media:
        print(table(recording_rows(words.media)))


if __name__ == "__main__":
    main()
