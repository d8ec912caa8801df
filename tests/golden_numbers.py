"""Numbers that code gave when it was last looked at, in JSON: any change of them is meant, or is a fault.

After a change that is meant, and with it a new `VERSION` of what is computed, `IACA_WRITE_GOLDEN=1` writes them again.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt


def check(path: Path, found: Mapping[str, npt.ArrayLike], tolerance: float = 1e-3) -> None:
    """Compare arrays by name with those of a file, within the tolerance, relative and absolute. NaN equals NaN."""
    arrays = {name: np.asarray(values, np.float64) for name, values in found.items()}
    if os.environ.get("IACA_WRITE_GOLDEN"):
        rounded = {name: [None if np.isnan(x) else float(f"{x:.6g}") for x in a.ravel()] for name, a in arrays.items()}
        path.write_text(json.dumps(rounded, indent=0).replace(",\n", ", ").replace("], ", "],\n") + "\n")
    expected = json.loads(path.read_text())
    assert sorted(expected) == sorted(arrays)
    for name, values in expected.items():
        known = np.array([np.nan if x is None else x for x in values])
        np.testing.assert_allclose(arrays[name].ravel(), known, rtol=tolerance, atol=tolerance, err_msg=name)
