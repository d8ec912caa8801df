"""A model as a program of torch.export, from which both file formats are made."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from iaca.training.export.exportable import Exportable, example
from iaca.training.export.traceable import make_traceable
from iaca.training.model_file import TrainedModel

BATCH, STEPS = 2, 11  # of the traced example; the program takes others


def trace(trained: TrainedModel) -> ExportedProgram:
    """The model as a program for any batch and any length; for `config.length` alone where that is in the weights."""
    exportable = Exportable(trained)
    make_traceable(exportable)
    inputs = example(trained, BATCH, trained.config.length or STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(exportable.eval(), (), inputs, dynamic_shapes=free_axes(trained, inputs))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of the machine it was made on
    return program


def free_axes(trained: TrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, dict[int, Dim]]:
    """Input name -> which of its axes may have any size."""
    axes = {0: Dim("batch")} if trained.config.length else {0: Dim("batch"), 1: Dim("steps")}
    return dict.fromkeys(inputs, axes)


def program_bytes(program: ExportedProgram, facts: Mapping[str, str]) -> bytes:
    """The content of a .pt2 file; each fact is an extra file in it."""
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=dict(facts))
    return content.getvalue()
