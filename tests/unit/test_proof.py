"""The model of the protocol: its text, its faults, and the functions that it names."""

import re
import shutil
from pathlib import Path

import pytest

from proof import __main__ as program
from proof import model, murphi
from proof.check import MODEL, PROGRAMS, RARE, SCENARIOS, NotInstalledError, check, require_programs
from proof.faults import FAULTS, Fault
from proof.model import Rule

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"(\w+(?:/\w+)*\.py) (\w+(?:, \w+)*)")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_the_model(fault: Fault) -> None:
    source = fault.scenario.apply(MODEL.read_text())
    assert murphi.translate(fault.plant(source), RARE) != murphi.translate(source, RARE)
    assert fault.found_by in source


@pytest.mark.parametrize("rule", model.RULES, ids=lambda rule: rule.name)
def test_a_rule_names_functions_that_exist(rule: Rule) -> None:
    for path, names in NAMED.findall(rule.models):
        source = (ROOT / "spotisync" / path).read_text()
        missing = [name for name in names.split(", ") if f"def {name}(" not in source and f"{name} = " not in source]
        assert not missing, f"{path} has no {missing}"


def test_the_documentation_has_the_table_of_rules(capsys: pytest.CaptureFixture[str]) -> None:
    program.print_rules()
    assert capsys.readouterr().out in (ROOT / "docs" / "proof.md").read_text()


def test_each_rare_situation_is_reached_in_a_scenario() -> None:
    for scenario in SCENARIOS:
        assert scenario.unreached < RARE
    assert not frozenset.intersection(*(scenario.unreached for scenario in SCENARIOS))


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "rumur" else name)
    with pytest.raises(NotInstalledError, match=r"needs rumur: apt-get install -y rumur gcc$"):
        require_programs()


def test_refuses_python_without_a_translation() -> None:
    source = MODEL.read_text().replace("    s.blocked = False\n", "    print(s.blocked)\n    del s.blocked\n")
    with pytest.raises(TypeError, match="no translation: del"):
        murphi.translate(source)


@pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="rumur is not installed")
def test_the_checker_finds_a_fault_and_its_path() -> None:
    (fault,) = (each for each in FAULTS if each.name == "sweep beside another run of the account")
    checked = check(fault.plant(fault.scenario.apply(MODEL.read_text())), RARE, optimise="-O0")
    assert fault.is_found_by(checked.violated)
    assert [name for name, _ in checked.trace].count("trigger") == 2
