"""The queries that people are given: the questions of docs/sql.md, and the panels of the dashboard for listeners."""

import json
import re
from typing import Any

from tests.system.compose import ROOT

_BLOCK = re.compile(r"```sql\n(.*?)```", re.DOTALL)
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "listening.json").read_text())
PANELS: list[dict[str, Any]] = [each for each in DASHBOARD["panels"] if each["type"] != "row"]


def read_blocks(path: str) -> list[str]:
    """The SQL that a page shows."""
    blocks: list[str] = _BLOCK.findall((ROOT / path).read_text())
    return blocks


def _read_questions() -> dict[str, str]:
    text = (ROOT / "docs" / "sql.md").read_text().partition("\n## Questions\n")[2]
    questions = {}
    for section in text.split("\n### ")[1:]:
        (query,) = _BLOCK.findall(section)
        questions[section.partition("\n")[0]] = query.strip().rstrip(";")
    return questions


QUESTIONS = _read_questions()


def expand_macros(query: str, account_id: int, begin: str, end: str) -> str:
    """Replace Grafana's macros and the dashboard's variable, as Grafana does."""
    query = re.sub(r"\$__timeFilter\((.+?)\)", rf"\1 BETWEEN '{begin}' AND '{end}'", query)
    query = query.replace("$__timeFrom()", f"'{begin}'").replace("$__timeTo()", f"'{end}'")
    return query.replace("$account", str(account_id))


def panel_queries() -> dict[str, str]:
    return {panel["title"]: target["rawSql"] for panel in PANELS for target in panel["targets"]}
