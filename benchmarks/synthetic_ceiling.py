"""Upper bound of the score on a synthetic corpus under the benchmark's corruptions.

    python benchmarks/synthetic_ceiling.py [--kind s2] [--clips 24] [--seconds 24]

The felt emotion and what each modality shows of it are Gaussian processes of known covariance, so the best estimate of
the felt emotion has a closed form (Gaussian process regression). It knows the covariances, where a modality is missing,
noisy or another clip's, how strong the noise is, and every nuisance; a learned model knows none of this. The
nonlinearity of the features is replaced by its best linear fit. The result is a correlation, which no CCC exceeds.
Prints a Markdown table; the ceiling in docs/engineering/experiments.md comes from it.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from iaca.corpora.synthetic import BEND, SEES, SyntheticConfig, View, draw_views, smooth
from iaca.encoders.embedding import ClipEmbedding
from iaca.evaluation.config import Condition, RobustnessConfig
from iaca.evaluation.corruption import Partition, corrupted
from iaca.parameters import MODALITIES

STEEPNESS = 0.8  # of the labels, as in `iaca.corpora.synthetic`
CONDITIONS = (
    Condition("clean", 0.0), Condition("missing_audio", 0.6), Condition("missing_audio", 1.0),
    Condition("missing_video", 0.6), Condition("missing_video", 1.0), Condition("frame_drop", 0.8),
    Condition("feature_noise", 0.5), Condition("feature_noise", 0.8), Condition("conflict", 0.3),
    Condition("conflict", 0.8),
)  # fmt: skip


class Ceiling:
    """The best estimate, for one configuration."""

    def __init__(self, config: SyntheticConfig, robustness: RobustnessConfig):
        self.config, self.robustness = config, robustness
        lag = np.arange(config.steps)[:, None] - np.arange(config.steps)
        self.felt = np.exp(-((lag / (config.correlation_s * config.rate)) ** 2))  # covariance over time (t, t)
        self.lasting = np.exp(-np.abs(lag) / robustness.noise_reach)
        self.white, self.loud = {}, {}
        for modality, view in draw_views(config).items():
            linear, power = self._linear_fit(view)
            inverse = np.diag(np.linalg.inv(linear @ linear.T))  # (2,) of unit noise per feature, in shown emotion
            slow = config.nuisance**2 * (view.nuisance**2).sum(0) + config.identity**2 * (view.traits**2).sum(0)
            self.white[modality] = config.noise**2 * inverse
            self.loud[modality] = robustness.noise_sd**2 * (power + slow + config.noise**2).mean() * inverse

    def correlation(self, condition: Condition, clips: int) -> float:
        """Mean over valence and arousal of the pooled correlation of best estimate and truth."""
        names = [f"clip{i:05d}" for i in range(clips)]
        partition = Partition.of(dict.fromkeys(names, self._blank()), dict.fromkeys(MODALITIES, np.ones(1)))
        rng, estimates, truths = np.random.default_rng(0), [], []
        for name in names:
            wrong = corrupted(condition, name, self._blank(), partition, self.robustness).truth.T  # (2, t)
            noisy = wrong if condition.corruption == "feature_noise" else np.zeros_like(wrong)
            estimate, truth = zip(*(self._estimate(k, ~wrong | noisy, noisy, rng) for k in range(2)), strict=True)
            estimates.append(np.stack(estimate))
            truths.append(np.stack(truth))
        estimated, gold = np.concatenate(estimates, axis=1), np.concatenate(truths, axis=1)
        return float(np.mean([np.corrcoef(estimated[k], gold[k])[0, 1] for k in range(2)]))

    def _estimate(
        self, k: int, usable: np.ndarray, noisy: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best estimate and truth (t,) of one dimension of one random clip; masks are (2, t)."""
        steps, reach = self.config.steps, self.config.correlation_s * self.config.rate
        sees = np.array([SEES[self.config.kind][m][k] for m in MODALITIES])
        felt, *drift = smooth(rng, steps, reach, 3).T
        noise = [self._noise(m, k, mask) for m, mask in zip(MODALITIES, noisy, strict=True)]
        shown = [c * felt + np.sqrt(1 - c**2) * d for c, d in zip(sees, drift, strict=True)]
        seen = np.concatenate([
            x + np.linalg.cholesky(n) @ rng.standard_normal(steps) for x, n in zip(shown, noise, strict=True)
        ])  # fmt: skip
        both = np.kron(np.where(np.eye(2, dtype=bool), 1.0, np.outer(sees, sees)), self.felt)
        for i, n in enumerate(noise):
            both[i * steps : (i + 1) * steps, i * steps : (i + 1) * steps] += n
        keep = usable.ravel()
        across = np.concatenate([c * self.felt for c in sees], axis=1)[:, keep]  # (t, observed)
        gain = np.linalg.solve(both[np.ix_(keep, keep)], across.T).T if keep.any() else across
        spread = np.sqrt(np.maximum(1 - (gain * across).sum(1), 0))
        nodes, weights = hermegauss(21)
        posterior = np.tanh(STEEPNESS * ((gain @ seen[keep])[:, None] + spread[:, None] * nodes))
        return posterior @ weights / weights.sum(), np.tanh(STEEPNESS * felt)

    def _noise(self, modality: str, k: int, noisy: np.ndarray) -> np.ndarray:
        lasting = self.loud[modality][k] * self.lasting * np.outer(noisy, noisy)
        return self.white[modality][k] * np.eye(self.config.steps) + lasting

    def _linear_fit(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Best linear fit (2, D) of a view's features to the shown emotion, and their variance (D,)."""
        shown = np.random.default_rng(0).standard_normal((20_000, 2))
        signal = shown @ view.straight + BEND * np.tanh(shown @ view.bent)
        return np.linalg.lstsq(shown, signal, rcond=None)[0], signal.var(axis=0)

    def _blank(self) -> ClipEmbedding:
        t = self.config.steps
        everywhere, empty = np.ones(t, np.bool_), np.zeros((t, 1), np.float32)
        times = np.arange(t) / self.config.rate
        return ClipEmbedding(empty, empty, everywhere, everywhere, times, empty[:, :0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=SEES, default="s2")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=24.0)
    options = parser.parse_args()
    ceiling = Ceiling(SyntheticConfig(kind=options.kind, seconds=options.seconds), RobustnessConfig())
    print("| condition | level | correlation of the best estimate |\n|---|---|---|")
    for condition in CONDITIONS:
        print(f"| {condition.corruption} | {condition.level} | {ceiling.correlation(condition, options.clips):.3f} |")


if __name__ == "__main__":
    main()
