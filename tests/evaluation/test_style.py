"""Values as the page writes them."""

import pytest

from iaca.evaluation.style import cell, count, difference, number, parameter, parameter_text, plain, signed


def test_numbers_are_written_for_readers():
    assert str(number(-0.12345)) == '<data value="-0.12345">−0.123</data>'
    assert "n/a" in number(float("nan"))
    assert "n/a" in number(None)
    assert ">+0.020<" in difference(0.02)
    assert ">–<" in difference(0.0)
    assert ">12 900<" in count(12900).replace("\u202f", " ").replace("\xa0", " ")
    assert cell("a<b") == "a<b"  # escaped by the template, once
    assert cell(True) == "yes"


@pytest.mark.parametrize("value", [-0.0, -1e-4, 1e-4, 0.0])
def test_a_value_that_rounds_to_zero_has_no_sign(value):
    assert plain(value) == signed(value) == "0.000"
    assert ">0.000<" in number(value)
    assert plain(value, 2) == signed(value, 2) == "0.00"
    assert value == 0 or ">0.000<" in difference(value)
    assert (plain(-0.0006), signed(-0.0006), signed(0.0006)) == ("−0.001", "−0.001", "+0.001")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (None, "none"),
        (0.00025, "0.00025"),
        (1.0, "1"),
        (0.1234567891, "0.1234567891"),
        (["audio", "visual"], "audio, visual"),
        ((1.0, 3.0), "1, 3"),
        ([], "none"),
        ('[{"name": "prosody", "weights": null, "changes": {}}]', "prosody"),
        ([{"name": "resnet18", "weights": "tuned.pt"}, {"name": "mini"}], "(name: resnet18, weights: tuned.pt), mini"),
        ({"kinds": ["noise", "zeros"], "share": 0.5}, "kinds: (noise, zeros), share: 0.5"),
        ("[1999] take two", "[1999] take two"),
        ("[" * 100_000, "[" * 100_000),
        ("iaca", "iaca"),
    ],
)
def test_a_parameter_is_written_without_syntax(value, text):
    assert parameter_text(value) == text


def test_a_number_among_the_parameters_keeps_its_exact_value():
    assert str(parameter(0.00025)) == '<data value="0.00025">0.00025</data>'
    assert ">947 352<" in parameter(947352).replace("\u202f", " ")
    assert parameter(False) == "no"
