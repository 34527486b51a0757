"""Says of a Compose file, as `docker-compose config --format json` prints it, what its containers are given.

    compose.py FILE containers        one line for each: its name, then the secrets that it gets, then its environment
    compose.py FILE secrets FOLDER    fails unless the folder holds just the secrets that the containers get
"""

import json
import sys
from pathlib import Path

file, what, *rest = sys.argv[1:]
compose = json.loads(Path(file).read_text())
given = {
    name: {secret["source"] for secret in service.get("secrets", [])} for name, service in compose["services"].items()
}
if what == "containers":
    for name, secrets in given.items():
        variables = compose["services"][name].get("environment", {}).items()
        print(name, ",".join(sorted(secrets)) or "-", *(f"{key}={value}" for key, value in variables))
else:
    made = {entry.name for entry in Path(rest[0]).iterdir()}
    defined = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    used = set().union(*given.values())
    if odd := (made | defined | used) - (made & defined & used):
        sys.exit(f"of the secrets these are not made by make-secrets, not defined or not used: {sorted(odd)}")
