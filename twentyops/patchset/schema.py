"""Writes the JSON Schema of a rule file: ``python -m twentyops.patchset.schema > files/twenty/rules.schema.json``."""

import json
import sys

from twentyops.patchset.model import json_schema


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
