"""A Kedro hook that checks what `--params` gives: Kedro itself checks only what a node of the run takes."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from pydantic import BaseModel, ValidationError

from iaca.config import faults
from iaca.corpora.importers import IMPORTERS
from iaca.engine import ExecutorConfig
from iaca.errors import InputError

INGESTION, IMPORTER = "ingestion", "importer"


class RunParameters:
    """Refuses parameters that nothing would read, before anything runs."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check the groups of `--params`.

        Raises:
            InputError: there is no such group, a value of `executor` or `ingestion` does not fit, or `ingestion`
                names another importer than the environment.
        """
        loader = context.config_loader
        given: dict[str, Any] = loader.runtime_params or {}
        if not given:
            return
        loader.runtime_params = {}
        try:
            usual = loader["parameters"]
        finally:
            loader.runtime_params = given
        _check_groups(given, {*usual, "executor"})
        if "executor" in given:
            _check("executor", ExecutorConfig, given["executor"])
        if INGESTION in given:
            importer = usual[INGESTION][IMPORTER]
            _check_importer(given[INGESTION], importer)
            _check(INGESTION, IMPORTERS[importer], loader["parameters"][INGESTION])


def _check_groups(given: Mapping[str, Any], known: set[str]) -> None:
    for group in given:
        if group not in known:
            near = get_close_matches(group, known, n=1)
            raise InputError(
                f"no pipeline takes a parameter {group!r}",
                remedy=f"{f'did you mean {near[0]}? ' if near else ''}choose of {', '.join(sorted(known))}",
            )


def _check_importer(given: object, usual: str) -> None:
    """Results of one importer are never written among those of another."""
    if isinstance(given, Mapping) and given.get(IMPORTER, usual) != usual:
        raise InputError(
            f"ingestion.importer is {given[IMPORTER]!r}, but this environment reads with {usual!r}",
            remedy="choose the environment of the importer, such as --env folder, and leave the parameter out",
        )


def _check(group: str, model: type[BaseModel], values: object) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"the parameter does not fit: {faults(error, f'{group}.')}",
            remedy="give it a value that fits, or leave it out",
        ) from error
