"""The findings for programs: JSON, SARIF 2.1.0 and JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree as ET

from respfix import __version__
from respfix.check.findings import Finding, Judgement, Place
from respfix.check.page import conclusion, spoken
from respfix.stream.defects import DEFECTS, Defect, Family

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_json(judgement: Judgement, source: str, *, every: bool) -> str:
    """All of it, by names that stay."""
    return _dumped(
        {
            "respfix": __version__,
            "source": source,
            "dialect": judgement.dialect,
            "events": judgement.events,
            "bytes": len(judgement.body),
            "clean": judgement.is_clean,
            "stopped": judgement.stopped,
            "defects": [_finding(finding, every=every) for finding in judgement.defects],
            "notes": [_finding(finding, every=every) for finding in judgement.notes],
            "verdicts": {
                verdict.family: {
                    "verdict": verdict.word,
                    "breaks": verdict.breaks,
                    "may_break": verdict.may_break,
                }
                for verdict in judgement.verdicts
            },
        }
    )


def as_sarif(judgement: Judgement, source: str, *, every: bool) -> str:
    """For code scanning: the rules are the defects that were found, the places are in the recording."""
    places = [
        (finding, place)
        for finding in judgement.findings
        for place in (finding.places if every else finding.places[:1])
    ]
    driver = {"name": "respfix", "version": __version__, "rules": [_rule(found.defect) for found in judgement.findings]}
    invocation: dict[str, Any] = {"executionSuccessful": judgement.stopped is None}
    if judgement.stopped:
        said = {"level": "error", "message": {"text": conclusion(judgement)}}
        invocation["toolExecutionNotifications"] = [said]
    run = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "invocations": [invocation],
        "results": [_result(judgement, source, *found) for found in places],
    }
    return _dumped({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def as_junit(judgement: Judgement, source: str, *, every: bool) -> str:
    """For continuous integration: a test for each defect that respfix knows."""
    found = {finding.defect.slug: finding for finding in judgement.findings}
    suite = ET.Element(
        "testsuite",
        name=f"respfix check {source}",
        tests=str(len(DEFECTS) + 1),
        failures=str(len(judgement.defects)),
        errors=str(int(judgement.stopped is not None)),
    )
    for slug in DEFECTS:
        case = ET.SubElement(suite, "testcase", classname="respfix.check", name=slug)
        if slug in found:
            _tell(case, found[slug], every=every)
    case = ET.SubElement(suite, "testcase", classname="respfix.check", name="judged-to-the-end")
    if judgement.stopped:
        ET.SubElement(case, "error", message=conclusion(judgement))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def as_row(row: Defect) -> dict[str, Any]:
    """A row of the table of defects."""
    return {
        "slug": row.slug,
        "wrong": row.wrong,
        "hurts": row.hurts,
        "remedy": row.remedy,
        "breaks": [family for family in Family if family in row.breaks],
        "may_break": [family for family in Family if family in row.may_break],
    }


def _finding(finding: Finding, *, every: bool) -> dict[str, Any]:
    places = finding.places if every else finding.places[:1]
    told = [{"event": at.event, "offset": at.offset, "type": at.type, "at_end": at.is_end} for at in places]
    return {**as_row(finding.defect), "count": len(finding.places), "places": told}


def _rule(row: Defect) -> dict[str, Any]:
    return {
        "id": row.slug,
        "shortDescription": {"text": row.wrong},
        "fullDescription": {"text": f"{row.wrong}. Breaks: {row.hurts}"},
        "help": {"text": f"Remedy: {row.remedy}"},
        "defaultConfiguration": {"level": _level(row)},
    }


def _level(row: Defect) -> str:
    return "note" if row.is_companion else "error"


def _result(judgement: Judgement, source: str, finding: Finding, place: Place) -> dict[str, Any]:
    row = finding.defect
    region = {
        "startLine": judgement.body.count(b"\n", 0, place.offset) + 1,
        "byteOffset": place.offset,
        "byteLength": len(judgement.exchange(place).came),
    }
    return {
        "ruleId": row.slug,
        "ruleIndex": judgement.findings.index(finding),
        "level": _level(row),
        "message": {"text": f"{spoken(place)}: {row.wrong}. Remedy: {row.remedy}. Breaks: {row.hurts}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(source)}, "region": region}}],
        "properties": {"event": place.event, "type": place.type, "count": len(finding.places)},
    }


def _uri(source: str) -> str:
    return source.replace("%", "%25").replace(" ", "%20")


def _tell(case: ET.Element, finding: Finding, *, every: bool) -> None:
    row = finding.defect
    places = finding.places if every else finding.places[:1]
    text = "\n".join([*map(spoken, places), f"remedy: {row.remedy}", f"breaks: {row.hurts}"])
    if row.is_companion:
        ET.SubElement(case, "system-out").text = f"{row.wrong}\n{text}"
    else:
        ET.SubElement(case, "failure", message=row.wrong, type=row.slug).text = text


def _dumped(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


FORMATS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {"json": as_json, "sarif": as_sarif, "junit": as_junit},
)
"""Every format by its name; `human` is the page's."""
