"""Datasets of models: trained (versioned by Kedro), adapted, or given by path."""

from __future__ import annotations

import glob
import json
import logging
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io.core import AbstractDataset, AbstractVersionedDataset, DatasetError, Version, VersionNotFoundError
from kedro_datasets._typing import JSONPreview

from iaca.datasets.files import Versioned, version_root
from iaca.errors import InputError
from iaca.files import newest_version, replacing
from iaca.inference.config import HUB, NAMED, find_models

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from iaca.inference.members import AdaptedModel
    from iaca.training.model_file import TrainedBaselines, TrainedModel


class _ModelFile(Versioned, AbstractVersionedDataset[Any, Any]):
    """A versioned file of models.

    Content that equals the newest version is not saved again: a run that has trained nothing adds no version.
    """

    _unchanged: PurePosixPath | None = None  # the version that equals what this run has saved

    def __init__(self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None):
        super().__init__(
            filepath=PurePosixPath(filepath),
            version=version,
            exists_function=lambda path: Path(path).exists(),
            glob_function=glob.glob,
        )
        self.metadata = metadata

    def _write(self, content: bytes) -> None:
        """Write the file atomically, unless it equals the newest version."""
        target = Path(self._get_save_path())
        newest = newest_version(str(self._filepath)) if self._version else None
        self._unchanged = PurePosixPath(newest) if newest and newest.read_bytes() == content else None
        if self._unchanged:
            log.info("nothing has changed since the newest version, %s: no other is saved", newest)
            return
        with replacing(target, version_root(self)) as partial:
            partial.write_bytes(content)

    def resolve_load_version(self) -> str | None:
        """As `Versioned`; the version of this run where it equals an earlier one, which is loaded in its place."""
        if self._unchanged and not (self._version and self._version.load):
            return self.resolve_save_version()
        return super().resolve_load_version()

    def _get_load_path(self) -> PurePosixPath:
        if self._unchanged and not (self._version and self._version.load):
            return self._unchanged
        return super()._get_load_path()

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except VersionNotFoundError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}


class ModelDataset(_ModelFile):
    """A trained model as a safetensors file; the data is an `iaca.training.model_file.TrainedModel`."""

    def load(self) -> TrainedModel:
        """The model of the chosen version, by default the newest."""
        from iaca.training.model_file import load_model  # imports torch, which `kedro catalog` and kedro-viz don't need

        return load_model(Path(self._get_load_path()))

    def save(self, data: TrainedModel) -> None:
        """Write the model atomically, unless it equals the newest version."""
        from iaca.training.model_file import model_bytes

        self._write(model_bytes(data))

    def preview(self) -> JSONPreview:
        """Preview for kedro-viz: architecture and origin, without the digests of its clips."""
        from iaca.training.model_file import CLIPS_KEY

        model = self.load()
        metadata = {name: text for name, text in model.metadata.items() if name != CLIPS_KEY}
        return JSONPreview(json.dumps({"config": model.config.model_dump(mode="json"), **metadata}))


class BaselinesDataset(_ModelFile):
    """The baselines that were trained with a model, under the same version: a `TrainedBaselines` as safetensors."""

    def load(self) -> TrainedBaselines | None:
        """The baselines of the chosen version, by default the newest; None if there are none of that version."""
        from iaca.training.model_file import load_baselines  # imports torch

        return load_baselines(Path(self._get_load_path())) if self.exists() else None

    def save(self, data: TrainedBaselines) -> None:
        """Write the baselines atomically, unless they equal the newest version."""
        from iaca.training.model_file import baselines_bytes

        self._write(baselines_bytes(data))


class AdaptedModelDataset(AbstractDataset["AdaptedModel", "AdaptedModel"]):
    """An adapted model as a safetensors file; the data is an `iaca.inference.members.AdaptedModel`."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> AdaptedModel:
        """The model.

        Raises:
            DatasetError: the file is missing or contains another model.
        """
        from iaca.inference.members import AdaptedModel

        model = AdaptedModel.load(self._filepath)
        if model is None:
            raise DatasetError(f"There is no adapted model at {self._filepath}: run the `adaptation` pipeline first")
        return model

    def save(self, data: AdaptedModel) -> None:
        """Write the model atomically."""
        data.save(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ModelPath(AbstractDataset[NoReturn, list[Path]]):
    """Paths of model files, given as a file, a Kedro-versioned folder (its newest version), the name of a model that
    comes with the project, or an ensemble: a folder of files, a pattern, or a list of any of these.

    Of a repository of the hub (`hub://...`) there are none: the node that plans the work fetches them.
    """

    def __init__(self, *, filepath: str | list[str], metadata: dict[str, Any] | None = None):
        self._filepath = _named(filepath) if isinstance(filepath, str) else [_named(one) for one in filepath]
        self.metadata = metadata

    def load(self) -> list[Path]:
        """The model files, at least one unless they are on the hub.

        Raises:
            DatasetError: there is none; the message says how to get one.
        """
        if isinstance(self._filepath, str) and self._filepath.startswith(HUB):
            return []
        try:
            return find_models(self._filepath)
        except InputError as error:
            if isinstance(error.__cause__, OSError):  # there is one, but it may not be read
                raise
            raise DatasetError(
                f"There is no model at {error.file}. Train one with `kedro run`, or name a model file or one "
                f"that comes with the project ({', '.join(NAMED)}): --params inference.model=FILE_OR_NAME. Without "
                "that parameter it is zero_shot"
            ) from error

    def save(self, data: NoReturn) -> None:
        """Always fails: the training pipeline writes models."""
        raise DatasetError("a model path is read, not written")

    def _exists(self) -> bool:
        try:
            return bool(self.load())
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


def _named(given: str) -> str:
    """Replace the name of a model that comes with the project by its path. Kedro has made a single name a path here."""
    path = Path(given)
    return str(NAMED[path.name]) if path.name in NAMED and not path.exists() else given
