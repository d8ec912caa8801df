"""Values as the page writes them."""

from iaca.evaluation.style import cell, count, difference, number


def test_numbers_are_written_for_readers():
    assert str(number(-0.12345)) == '<data value="-0.12345">−0.123</data>'
    assert "n/a" in number(float("nan"))
    assert "n/a" in number(None)
    assert ">+0.020<" in difference(0.02)
    assert ">–<" in difference(0.0)
    assert ">12 900<" in count(12900).replace("\u202f", " ").replace("\xa0", " ")
    assert cell("a<b") == "a<b"  # escaped by the template, once
    assert cell(True) == "yes"
