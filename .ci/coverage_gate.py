"""The coverage gate: all branches of the parts below; 95 % of the rest."""

import json
import sys
from pathlib import Path

PARTS = ("core", "protocols", "config", "webhook", "auth", "backend", "journal", "hub")
WHOLE = tuple(f"gatewayd/{part}/" for part in PARTS)
SHELL_PERCENT = 95.0

files = json.loads(Path(sys.argv[1]).read_text())["files"]
covered = total = 0
failures = []
for name, entry in sorted(files.items()):
    summary = entry["summary"]
    if name.startswith(WHOLE):
        if summary["percent_covered"] < 100:
            branches = entry.get("missing_branches", [])
            lines = entry["missing_lines"]
            failures.append(f"{name}: {summary['percent_covered']:.1f} %, lines {lines}, branches {branches}")
    else:
        covered += summary["covered_lines"] + summary.get("covered_branches", 0)
        total += summary["num_statements"] + summary.get("num_branches", 0)
percent = 100 * covered / total if total else 100.0
print(f"shell: {percent:.1f} % of lines and branches")
if percent < SHELL_PERCENT:
    failures.append(f"the shell is covered {percent:.1f} %, less than {SHELL_PERCENT} %")
print("\n".join(failures) or f"{', '.join(PARTS)}: 100 %")
sys.exit(bool(failures))
