"""Models on the Hugging Face hub, or in folders of the same layout: fetched at a known commit, pushed with a card.

    fetched            the name of a repository or folder -> its model files and the commit they are of
    relocated          a model's metadata, with the user's own checkpoints of encoders found in that folder
    write_repository   a predictor -> such a folder: safetensors, and README.md
    push               the same as one commit of a repository
    model_card         README.md: YAML that the hub reads, then use, limits, scores, licences

Only safetensors are fetched and pushed, so nothing is unpickled. A folder needs no network, and a pinned revision only
the first time. The extra `hub` (huggingface_hub) is imported when a repository is named or a card is written.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

from iaca import __version__
from iaca.encoders.config import ENCODERS, origins
from iaca.encoders.weights import GET, WEIGHTS, local, sha256
from iaca.errors import InputError, brief, gib, plain_name
from iaca.files import replacing, storage_errors, write_text
from iaca.inference.config import HUB, find_models, named_repository
from iaca.parameters import MODALITIES
from iaca.text import parse_json
from iaca.training.config import MODEL_SUFFIX, TARGETS

if TYPE_CHECKING:
    from iaca.encoders.config import EmbeddingConfig
    from iaca.faces import FaceConfig
    from iaca.inference.members import Member

log = logging.getLogger(__name__)

CARD, MODEL, CHECKPOINTS = "README.md", f"model{MODEL_SUFFIX}", "encoders"
WANTED = [CARD, f"*{MODEL_SUFFIX}"]
"""Patterns of the files that are fetched."""
LARGEST = 4 * 2**30
"""Bytes of these files together. A model has a few MB, a checkpoint of a large encoder 1.3 GB."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".h5")
"""Endings of files of models that are never fetched: many of them have to be unpickled."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
TASK = "video-classification"
"""The hub's nearest name of a task: it has none for regression on videos."""
TAGS = ["iaca", "valence-arousal", "emotion-recognition", "affective-computing", "audio-visual", "arxiv:2405.12853"]
LAW = (
    "In the European Union, Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f), prohibits inferring emotions at work "
    "and in education, except for medical or safety reasons. Elsewhere such systems are high-risk (Annex III), and the "
    "people concerned have to be informed (Article 50(3))."
)
CITATION = """```bibtex
@misc{rajasekhar2024inconsistency,
  title  = {Inconsistency-Aware Cross-Attention for Audio-Visual Fusion in Dimensional Emotion Recognition},
  author = {Rajasekhar, G. and Alam, J.},
  year   = {2024},
  eprint = {2405.12853},
  archivePrefix = {arXiv}
}
```"""


# Fetching


@dataclass(frozen=True)
class Fetched:
    """A folder of models.

    Attributes:
        folder: with model files, and `encoders/` for checkpoints of the user's own.
        origin: `owner/name@commit`; "" for a folder that was named as such.
    """

    folder: Path
    origin: str = ""

    @property
    def models(self) -> list[Path]:
        """The model files."""
        return find_models(self.folder)


def fetched(name: str | Path, revision: str | None = None, token: str | None = None) -> Fetched:
    """Find the models of a folder, or fetch those of a repository into the hub's cache.

    A commit that is in the cache is taken from there without a connection. A branch, a tag or no revision is resolved
    to its commit, which is logged; if the hub can't be reached, to the commit that the cache has for it.

    Args:
        name: a folder, or `owner/name` or `owner/name@revision` of a repository; with `hub://` before it, no folder is
            looked for.
        revision: branch, tag or commit (40 digits) of the repository; None for its main branch.
        token: for a private repository; None for the one that is saved on this machine, if any.

    Raises:
        InputError: there is no such folder, repository or revision; it has no safetensors; what arrived is not what the
            hub describes; the hub can't be reached and the cache has nothing.
        StorageError: the disk of the cache is full.
    """
    if not str(name).startswith(HUB) and Path(name).is_dir():
        if revision is not None:
            raise InputError("a folder has no revisions", name, remedy="leave the revision out, or give `owner/name`")
        return Fetched(Path(name))
    repository, _, named = str(name).removeprefix(HUB).partition("@")
    revision = revision or named or None
    if not REPOSITORY.fullmatch(repository):
        raise InputError(
            "neither a folder nor the name of a repository", repository, remedy="give a folder, or `owner/name`"
        )
    _require_hub(repository)
    folder = _cached(repository, revision) if revision is not None and COMMIT.fullmatch(revision) else None
    folder = folder or _downloaded(repository, revision, token)
    if revision != folder.name:
        log.info("%s is at revision %s; to keep it, give that as `revision`", repository, folder.name)
    return Fetched(folder, f"{repository}@{folder.name}")


def on_this_machine(given: str | Sequence[str]) -> str | Sequence[str]:
    """What names models, as `find_models` takes it; for a repository of the hub (`iaca.inference.config`) the folder it
    is fetched to. Raises as `fetched`."""
    repository = named_repository(given)
    return given if repository is None else str(fetched(repository).folder)


def _cached(repository: str, revision: str | None) -> Path | None:
    """The folder of a revision in the cache; None if it is not there, or not completely."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(repository, revision=revision, allow_patterns=WANTED, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return Path(found) if any(Path(found).glob(f"*{MODEL_SUFFIX}")) else None


def _downloaded(repository: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import constants

    api = _api(token)
    try:
        with _hub_errors(repository, revision):
            info = api.model_info(repository, revision=revision, files_metadata=True)
            _require_models(repository, {file.rfilename: file.size or 0 for file in info.siblings or ()})
            with storage_errors(constants.HF_HUB_CACHE):
                folder = Path(api.snapshot_download(repository, revision=revision, allow_patterns=WANTED))
    except UnreachableError as error:
        folder_or_none = _cached(repository, revision)
        if folder_or_none is None:
            raise InputError(
                f"the hub can't be reached ({error}), and its cache has no whole copy of the models", repository,
                remedy="go online and try again, or give a folder",
            ) from error  # fmt: skip
        log.warning("the hub can't be reached (%s): %s is taken from the cache", error, repository)
        return folder_or_none
    if folder.name != info.sha:
        raise InputError("the repository changed while it was fetched", repository, remedy="try again")
    for file in info.siblings or ():
        path = folder / file.rfilename
        if file.lfs is not None and path.is_file() and sha256(path) != file.lfs.sha256:
            raise InputError("not what the hub describes: its checksum differs", path, remedy="delete it and try again")
    return folder


def _require_models(repository: str, files: Mapping[str, int]) -> None:
    if any("/" not in file and file.endswith(MODEL_SUFFIX) for file in files):
        size = sum(bytes_ for file, bytes_ in files.items() if file.endswith(MODEL_SUFFIX))
        if size > LARGEST:
            raise InputError(
                f"its safetensors have {gib(size)} GiB, which no model of this project has", repository,
                remedy="correct the name",
            )  # fmt: skip
        return
    pickles = [plain_name(file) for file in files if file.endswith(PICKLES)]
    what = f"it has no safetensors, but {brief(', '.join(pickles))}" if pickles else "it has no safetensors"
    raise InputError(
        f"no model of this project: {what}", repository,
        remedy="nothing is unpickled: ask its owner for safetensors written by `push_to_hub`",
    )  # fmt: skip


def relocated(metadata: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The metadata, with the user's own checkpoints of encoders taken from `folder/encoders`, where it has them."""
    changed = dict(metadata)
    for key in (f"{modality}_choice" for modality in MODALITIES):
        try:
            choices = parse_json(changed.get(key, ""))
        except ValueError:  # none, or damaged: building the encoders reports it
            continue
        for choice in choices if isinstance(choices, list) else ():
            named = choice.get("weights") if isinstance(choice, dict) else None
            # unlike Path, os.path takes a name that is too long for a file system
            if isinstance(named, str) and os.path.isfile(here := folder / CHECKPOINTS / PurePath(named).name):  # noqa: PTH113
                choice["weights"] = str(here)
        changed[key] = json.dumps(choices)
    return changed


# The hub and its errors


class UnreachableError(Exception):
    """There is no connection to the hub, or it has trouble of its own."""


def _require_hub(repository: str | None = None) -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise InputError(
            "repositories need the package huggingface_hub",
            repository,
            remedy="pip install 'iaca[hub]', or huggingface_hub",
        ) from error


def _api(token: str | None) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="iaca", library_version=__version__)


@contextmanager
def _hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turn errors of the hub's library into InputError, or into UnreachableError. No message contains a token."""
    from huggingface_hub import errors
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP library that it uses

    try:
        yield
    except InputError:
        raise
    except errors.GatedRepoError as error:
        raise InputError(
            "its owner asks for an agreement",
            repository,
            remedy="agree on its page, log in (`hf auth login`), try again",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            "the hub has no such repository, or it is private", repository,
            remedy="correct the name; for a private one log in (`hf auth login`) or give a token",
        ) from error  # fmt: skip
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"it has no revision {brief(repr(revision))}", repository, remedy="give a branch, a tag or a commit of it"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise UnreachableError("HF_HUB_OFFLINE is set") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500 or status == 429:
            raise UnreachableError(f"it answers {status}") from error
        raise InputError(
            f"the hub answers {status}", repository, remedy="log in (`hf auth login`) with a token that may do this"
        ) from error
    except (HTTPError, errors.LocalEntryNotFoundError, errors.FileMetadataError) as error:
        raise UnreachableError(type(error).__name__) from error


# Pushing


class Loaded(Protocol):
    """What is needed of an `iaca.inference.Predictor`."""

    @property
    def members(self) -> Sequence[Member]: ...

    @property
    def embedding(self) -> EmbeddingConfig: ...

    @property
    def faces(self) -> FaceConfig: ...

    @property
    def files(self) -> Sequence[Path]: ...

    def origin(self) -> dict[str, str]: ...


def push(
    predictor: Loaded,
    repository: str,
    *,
    revision: str | None = None,
    private: bool = False,
    licence: str = "other",
    report: str | Path | None = None,
    token: str | None = None,
) -> str:
    """Push the models of a predictor with their card as one commit, and return its 40 digits.

    Args:
        predictor: of model files (safetensors); own checkpoints of its encoders are pushed, too.
        repository: `owner/name`; made if it does not exist.
        revision: branch to commit to, which has to exist; None for the main one.
        private: a new repository is.
        licence: of the models, as the hub calls it, such as "cc-by-4.0"; `other` says that the terms of the training
            data hold.
        report: the model card that the pipeline `evaluation` wrote, which becomes part of the card.
        token: that may write; None for the one that is saved on this machine.

    Raises:
        InputError: the predictor can't be pushed (`contents`), or the hub does not accept it or can't be reached.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError("not the name of a repository", repository, remedy="give `owner/name`")
    _require_hub()
    from huggingface_hub import CommitOperationAdd

    files = contents(predictor)
    card = model_card(predictor, repository, licence, report)
    operations = [CommitOperationAdd(CARD, card.encode())]
    operations += [CommitOperationAdd(name, str(path)) for name, path in files.items()]
    api = _api(token)
    try:
        with _hub_errors(repository, revision):
            api.create_repo(repository, private=private, exist_ok=True)
            done = api.create_commit(repository, operations, commit_message=f"iaca {__version__}", revision=revision)
    except UnreachableError as error:
        raise InputError(
            f"the hub can't be reached ({error}): nothing was committed", repository, remedy="go online and try again"
        ) from error
    except (ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the hub did not take it: {brief(error)}", repository, remedy="see what it says, and try again"
        ) from error
    log.info("pushed %s at revision %s", repository, done.oid)
    return str(done.oid)


def write_repository(
    predictor: Loaded, folder: Path, licence: str = "other", report: str | Path | None = None
) -> list[Path]:
    """Write what `push` would push to a folder, which `fetched` reads; the card last. See `push` for errors."""
    _require_hub()
    files = contents(predictor)
    card = model_card(predictor, folder.absolute().name, licence, report)
    written = []
    for name, path in files.items():
        with replacing(folder / name) as partial:
            partial.write_bytes(path.read_bytes())
        written.append(folder / name)
    write_text(folder / CARD, card)
    return [*written, folder / CARD]


def contents(predictor: Loaded) -> dict[str, Path]:
    """Path in the repository -> file: model files, and checkpoints of encoders that the user named.

    Raises:
        InputError: a model is not a safetensors file, a checkpoint is missing or is not one, or two have the same name.
    """
    models = predictor.files
    if not models:
        raise InputError("this predictor has no model files", remedy="load it from model files (`Predictor.load`)")
    for path in models:
        if path.suffix != MODEL_SUFFIX:
            raise InputError(
                "not a trained or adapted model: rules come with the project", path, remedy="push safetensors"
            )
    if len(models) == 1:
        found = {MODEL: models[0]}
    elif len({path.name for path in models}) == len(models):
        found = {path.name: path for path in models}
    else:  # versions of one model have the same name
        found = {f"{path.stem}-{number}{MODEL_SUFFIX}": path for number, path in enumerate(models, 1)}
    for modality in ENCODERS:
        for choice in predictor.embedding.choices(modality):
            if choice.weights is not None:
                _add_checkpoint(found, local(choice.weights))
    return found


def _add_checkpoint(found: dict[str, Path], path: Path) -> None:
    name = f"{CHECKPOINTS}/{path.name}"
    if path.suffix != MODEL_SUFFIX:
        raise InputError(
            "a checkpoint of an encoder that is not safetensors is not pushed", path,
            remedy="save its tensors with safetensors.torch.save_file, and train again with that file",
        )  # fmt: skip
    if name in found and sha256(found[name]) != sha256(path):
        raise InputError("another checkpoint has the same file name", path, remedy="rename one, and train again")
    found[name] = path


# The card


def model_card(predictor: Loaded, name: str, licence: str = "other", report: str | Path | None = None) -> str:
    """README.md of a repository: front matter as the hub reads it, and what a reader needs to know.

    Raises:
        InputError: the report is missing, or the hub's own reader does not accept the front matter.
    """
    from huggingface_hub import ModelCard, ModelCardData

    members = predictor.members
    facts = predictor.origin()
    scores = _scores([member.metadata for member in members])
    data = ModelCardData(
        license=licence, license_name="terms-of-the-training-data" if licence == "other" else None,
        library_name="iaca", pipeline_tag=TASK, tags=TAGS,
        metrics=["ccc"] if scores else None, model_name=PurePath(name).name,
        eval_results=[_result(facts, *row) for row in scores] or None,
    )  # fmt: skip
    parts = [
        f"---\n{data.to_yaml()}\n---", f"# {_plain(PurePath(name).name)}", _what(facts, len(members)),
        _use(name, predictor),
        f"## Not for\n\nDecisions about people: hiring, schooling, policing, credit, diagnosis. {LAW} The numbers are "
        "what observers would perceive in a recording, not what somebody feels.",
        _score_table(scores), _licences(predictor), _report(report),
        "## Citation\n\nThe model is made by iaca, a reconstruction of the method of this paper by others; no code or "
        f"weights of its authors are in it.\n\n{CITATION}",
    ]  # fmt: skip
    text = "\n\n".join(filter(None, parts)) + "\n"
    if str(ModelCard(text).data) != str(data):
        raise InputError("the front matter of the card is not read as it was written", remedy="report this as a bug")
    return text


def _what(facts: Mapping[str, str], members: int) -> str:
    preset, corpus = plain_name(facts["preset"]).replace("`", "'"), _plain(facts["corpus"])
    several = "" if members == 1 else f" The mean of {members} models."
    caveat = f"> {_plain(facts['caveat'])}\n\n" if facts["caveat"] else ""
    return (
        f"{caveat}Continuous valence and arousal in [-1, 1] for every frame of a video with sound. Kind: "
        f"{_plain(facts['kind'])}, model `{preset or 'unknown'}`, corpus: {corpus or 'unknown'}.{several}\n\n"
        f"Intervals: {_plain(facts['intervals'])}.\n\nInconsistency: {_plain(facts['inconsistency'])}."
    )


def _use(name: str, predictor: Loaded) -> str:
    named = [choice.name for modality in ENCODERS for choice in predictor.embedding.choices(modality)
             if choice.weights is None and choice.name in WEIGHTS]  # fmt: skip
    weights = f"\n{GET} {' '.join(named)}    # weights of its encoders, once" if named else ""
    return (
        f"## Use\n\n```\npip install 'iaca[hub]'{weights}\n```\n\n```python\nfrom iaca.inference import Predictor\n\n"
        f'predictor = Predictor.from_pretrained("{name}")   # revision="..." keeps a commit\n'
        'table = predictor.predict("video.mp4")            # a pandas.DataFrame, a row per frame\n```'
    )


Score = tuple[str, str, float]
"""Dimension, condition, mean CCC over the models."""
CONDITIONS = {"clean": "validation", "corrupted": "validation, corrupted"}


def _scores(members: Sequence[Mapping[str, str]]) -> list[Score]:
    """Those that every model has: CCC on the validation partition, which also chose the epoch."""
    rows: list[Score] = []
    for condition in CONDITIONS:
        for target in TARGETS:
            try:
                values = [float(facts[f"validation_{condition}_{target}"]) for facts in members]
            except (KeyError, ValueError):  # a dimension that it was not trained for, or an adapted model
                continue
            rows.append((target, condition, sum(values) / len(values)))
    return rows


def _result(facts: Mapping[str, str], target: str, condition: str, value: float) -> Any:
    from huggingface_hub import EvalResult

    corpus = facts["corpus"] or "unknown"
    return EvalResult(
        task_type=TASK, task_name="continuous valence and arousal", dataset_type=re.sub(r"\W+", "-", corpus).lower(),
        dataset_name=corpus, dataset_split=CONDITIONS[condition].replace(", ", "-"), metric_type="ccc",
        metric_name=f"CCC of {target}", metric_value=round(value, 4),
    )  # fmt: skip


def _score_table(scores: Sequence[Score]) -> str:
    if not scores:
        return "## Scores\n\nNone are in the model file."
    rows = "\n".join(f"| {target} | {CONDITIONS[condition]} | {value:.3f} |" for target, condition, value in scores)
    return (
        "## Scores\n\nCCC over all frames. The validation partition also chose the epoch, so these are too good an "
        f"estimate for other clips.\n\n| dimension | partition | CCC |\n|---|---|---|\n{rows}"
    )


def _licences(predictor: Loaded) -> str:
    found = {origin: None for member in predictor.members for origin in origins(member.metadata, predictor.faces)}
    rows = "\n".join(f"| {' | '.join(map(_plain, (o.part, o.name, o.source, o.licence)))} |" for o in found)
    return (
        "## Weights that it needs, and their licences\n\nThe models' own weights are subject to the terms of the data "
        f"they were trained on.\n\n| part | file | source | licence |\n|---|---|---|---|\n{rows}"
    )


def _report(report: str | Path | None) -> str:
    """The report's card as a part of this one: headings one level lower, without links to files next to it."""
    if report is None:
        return ""
    try:
        text = Path(report).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(
            "can't be read as a model card", report, remedy="give data/08_reporting/model_card.md"
        ) from error
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return re.sub(r"^#", "##", text.strip(), flags=re.MULTILINE)


def _plain(text: str) -> str:
    """Foreign text without effect in Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", plain_name(text))
