"""The project's Kedro context: what a run saves is newer than every version that exists, whatever the clock says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kedro.framework.context import KedroContext
from kedro.io import AbstractDataset, CatalogProtocol, DataCatalog
from kedro.io.core import generate_timestamp

from iaca.files import newest_version, version_after

log = logging.getLogger(__name__)


class ProjectContext(KedroContext):
    """Kedro documents `_get_catalog` as the place to change how the catalog is made."""

    def _get_catalog(
        self,
        catalog_class: type = DataCatalog,
        save_version: str | None = None,
        load_versions: dict[str, str] | None = None,
    ) -> CatalogProtocol[str, AbstractDataset[Any, Any]]:
        """The catalog. What it saves is newer than every version that exists, whatever the clock says.

        Kedro proposes the time at which the session started; all versioned datasets share one version.
        """
        proposed = save_version or generate_timestamp()
        entries = [entry for entry in self.config_loader["catalog"].values() if isinstance(entry, Mapping)]
        files = [self.project_path / entry["filepath"] for entry in entries if entry.get("versioned")]
        version = version_after(proposed, files)
        for newest in filter(None, map(newest_version, files)):
            if newest.parent.name >= proposed:
                log.warning(
                    "%s is a version from the future: this machine's clock says %s. Versions saved now are named %s, "
                    "so that they are the newest. Check the clock",
                    newest.parent, proposed, version,
                )  # fmt: skip
        return super()._get_catalog(catalog_class, version, load_versions)
