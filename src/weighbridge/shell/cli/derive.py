"""`weighbridge derive`: make the versions of a plan and prove that what is held back is gone."""

import argparse

from weighbridge.shell.cli.output import print_json, print_lines, print_table, readable_bytes
from weighbridge.shell.cli.plan_options import add_plan_arguments, open_line

add_arguments = add_plan_arguments


def run(options: argparse.Namespace) -> int:
    """Derive and audit; exit code 1 if an audit found something of high severity or worse."""
    from weighbridge.evidence.record import Severity

    with open_line(options) as line:
        versions = line.audited()
    found = [f for version in versions for audit in version.audits for f in audit.findings]
    if options.json:
        print_json({"versions": [version.to_json() for version in versions]})
    else:
        rows = [(v.name, v.checkpoint.format, readable_bytes(v.manifest.size_bytes), _gone(v.audits)) for v in versions]
        print_table("Versions", ("version", "format", "size", "held back"), rows)
        print_lines(f"{v.name}: {v.folder}" for v in versions)
        for finding in found:
            print_table("", ("finding",), [(f"{finding.severity.label}: {finding.message} ({finding.place})",)])
    return int(any(finding.severity >= Severity.HIGH for finding in found))


def _gone(audits: tuple[object, ...]) -> str:
    from weighbridge.evidence.record import Audit

    [proof] = [audit for audit in audits if isinstance(audit, Audit) and audit.probe == "held-back"]
    return "proven absent" if not proof.findings else f"{len(proof.findings)} findings"
