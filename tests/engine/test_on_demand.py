"""A mapping whose values are made when they are asked for."""

import pytest

from iaca.engine import ClipPaths, OnDemand
from iaca.errors import InputError


def test_a_value_is_made_when_it_is_asked_for_from_the_cells_of_its_item() -> None:
    asked = []

    def make(item: str, size: int, colour: str) -> str:
        asked.append(item)
        return f"{item} {size} {colour}"

    made = OnDemand(make, iter(["b", "a"]), [1, 2], ["red", "blue"])
    assert (list(made), len(made), "a" in made, "c" in made) == (["b", "a"], 2, True, False)
    assert asked == []
    assert made["a"] == "a 2 blue"
    assert dict(made.items()) == {"b": "b 1 red", "a": "a 2 blue"}
    assert asked == ["a", "b", "a"]
    with pytest.raises(KeyError):
        made["c"]


def test_paths_of_results_are_made_when_they_are_asked_for_and_a_missing_one_says_why() -> None:
    paths = ClipPaths(OnDemand(str.upper, ["a"]), {"b": "it is too dark"})  # type: ignore[arg-type]
    assert (paths["a"], list(paths), "b" in paths) == ("A", ["a"], False)
    with pytest.raises(InputError, match="too dark"):
        paths["b"]
