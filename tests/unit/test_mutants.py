"""The mutants of the code: their texts, their tests, and what the command says about them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from proof import mutants
from proof.mutants import ROOT, Checked, Mutant, UnusableError

MUTANTS = mutants.load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_exactly_once(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    assert mutant.plant(source) != source
    compile(mutant.plant(source), mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_of_a_mutant_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_there_are_enough_mutants_with_names_of_their_own() -> None:
    assert len(MUTANTS) >= 25
    assert max(Counter(each.name for each in MUTANTS).values()) == 1


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "double.py").write_text("def double(number):\n    return 2 * number\n")
    (tmp_path / "test_double.py").write_text(
        "from double import double\n\n\ndef test_doubles():\n    assert double(2) == 4\n"
    )
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "COPIED", ("double.py", "test_double.py"))
    return tmp_path


def make(new: str) -> Mutant:
    return Mutant("a bug", "double.py", "2 * number", new, "Everything.", ["test_double.py::test_doubles"])


@pytest.mark.slow
def test_says_which_test_shows_a_mutant_and_which_one_survives(tree: Path) -> None:
    checked: list[Checked] = []
    mutants.run([make("3 * number"), make("number * 2")], 1, checked.append)
    assert [each.caught_by for each in checked] == ["test_double.py::test_doubles", None]
    assert "SURVIVED: Everything." in str(checked[1])
    assert (tree / "double.py").read_text().endswith("return 2 * number\n"), "only a copy is changed"


@pytest.mark.slow
def test_tests_that_fail_without_a_mutant_say_nothing(tree: Path) -> None:
    (tree / "double.py").write_text("def double(number):\n    return 0 * 2 * number\n")
    with pytest.raises(UnusableError, match="without a mutant, too, these tests fail"):
        mutants.run([make("3 * number")], 1, print)


@pytest.mark.slow
def test_begins_no_mutant_when_the_time_is_over(tree: Path) -> None:
    checked: list[Checked] = []
    mutants.run([make("3 * number")], 1, checked.append, until=0)
    assert checked == []


def test_refuses_a_text_that_the_file_does_not_have_once() -> None:
    with pytest.raises(UnusableError, match="does not have exactly once the text of 'a bug'"):
        make("").plant("2 * number + 2 * number")
