"""The one block that torch.export can't take as it is: it unrolls `torch.lstm`, step by step, for the traced length.

Letters: b batch, t steps, d width of the input, h width of one direction.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from iaca.errors import InputError
from iaca.fusion.temporal import BidirectionalLSTM

KIND = 2  # how oneDNN numbers its recurrent cells: an LSTM


class TraceableLSTM(BidirectionalLSTM):
    """A trained `BidirectionalLSTM` for prediction on the CPU: oneDNN's kernel, one operation for any length."""

    def __init__(self, trained: BidirectionalLSTM):
        nn.Module.__init__(self)
        self.lstm, self.dropout = trained.lstm, trained.dropout

    def _read(self, x: Tensor, rows: Tensor, places: Tensor, weights: list[Tensor]) -> Tensor:
        b, t, d = x.shape
        sequence = x.flatten(0, 1).index_select(0, rows).view(t, b, d)
        start, width = x.new_zeros(1, b, self.lstm.hidden_size), self.lstm.hidden_size
        # reverse, batch sizes, kind, width, layers, biases, bidirectional, batch first, training
        options: tuple[Any, ...] = (False, [], KIND, width, 1, True, False, False, False)
        hidden: Tensor = torch.ops.aten.mkldnn_rnn_layer(sequence, *weights, start, start, *options)[0]  # (t, b, h)
        return hidden.flatten(0, 1).index_select(0, places).view(b, t, -1)


def make_traceable(module: nn.Module) -> None:
    """Put a `TraceableLSTM` in the place of every `BidirectionalLSTM` in a model.

    Raises:
        InputError: there is one, and torch is built without its kernel.
    """
    for name, child in module.named_children():
        if isinstance(child, BidirectionalLSTM):
            if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
                raise InputError("a torch without oneDNN can't export an LSTM", remedy="export it on an x86 machine")
            setattr(module, name, TraceableLSTM(child))
        else:
            make_traceable(child)
