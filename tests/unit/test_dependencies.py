"""The list of dependencies in the documentation is the lock file's."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documented_versions_are_the_locked_ones() -> None:
    locked = re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    documented = re.findall(r"^\| ([\w.-]+) \| (\S+) \| \S", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    assert [each for each in documented if each != ("package", "version")] == locked
