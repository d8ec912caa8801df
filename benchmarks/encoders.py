"""What an encoder costs on one core: steps a second of processor time, and memory. Weights are random.

python benchmarks/encoders.py [NAME ...]

Each encoder runs in a process of its own with one thread, on faces of 112 px in the batch of a CPU, or on sound at
25 steps a second. Memory is the peak of that process less what it had before the network was built.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

SECONDS, FPS, RATE = 15, 25, 16_000
FACES = 64
HEAD = ("encoder", "weights (millions)", "steps/s", "memory (MiB)")


def measured(name: str) -> dict[str, float]:
    """Cost of one encoder, in this process."""
    import resource

    import torch

    from iaca.encoders.config import ENCODERS, EncoderChoice
    from iaca.encoders.networks import CPU_BATCH, AudioEncoder, Network, VisualEncoder, build_network

    torch.set_num_threads(1)
    torch.manual_seed(0)
    modality = "visual" if name in ENCODERS["visual"] else "audio"
    entry = ENCODERS[modality][name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network = build_network(EncoderChoice(name=name), modality, None)
    weights = sum(parameter.numel() for parameter in network.parameters())
    batch = 1 if entry.batch == 1 else CPU_BATCH
    offsets = entry.configured({}).offsets if name == "r2plus1d_18" else (0,)
    runner = Network(network, torch.device("cpu"), torch.float32, entry.dim, batch, offsets)
    random = np.random.default_rng(0)
    if modality == "visual":
        module = network.to(memory_format=torch.channels_last if offsets == (0,) else torch.channels_last_3d)
        encoder = VisualEncoder([Network(module, runner.device, runner.dtype, entry.dim, batch, offsets)])
        faces = random.integers(0, 256, (FACES, 112, 112, 3), dtype=np.uint8)
        encoder.encode(faces[:batch])
        start = time.process_time()
        encoder.encode(faces)
        steps = FACES
    else:
        sound = (0.1 * random.standard_normal(SECONDS * RATE)).astype(np.float32)
        times = np.arange(0, SECONDS, 1 / FPS)
        start = time.process_time()
        AudioEncoder([runner]).encode(sound, times)
        steps = len(times)
    spent = time.process_time() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"weights": weights / 1e6, "rate": steps / spent, "memory": memory}


def main() -> None:
    """Print a table in Markdown."""
    from iaca.encoders.config import ENCODERS

    learned = [
        name for known in ENCODERS.values() for name, entry in known.items() if entry.learned and not entry.runtime
    ]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="encoders; without names, all networks of torch")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.names[0])))
        return
    print(f"| {' | '.join(HEAD)} |\n|---|---|---|---|")
    for name in given.names or learned:
        words = [sys.executable, __file__, name, "--one"]
        found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        print(f"| `{name}` | {found['weights']:.1f} | {found['rate']:.3g} | {found['memory']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
