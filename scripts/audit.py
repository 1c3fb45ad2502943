"""Look every locked release up in the OSV advisory database.

A known vulnerability fails, and so does a release that could not be looked up. Where the database cannot be reached
nothing was found out: that is said loudly, and fails only with `make audit AUDIT=required`, as a release wants it.
"""

import json
import os
import subprocess
import sys

LOCKS = ("requirements.txt", "requirements-dev.txt")


def main() -> int:
    """Audit all locks; the exit status is 1 for a finding, else 0."""
    required = os.environ.get("AUDIT") == "required"
    return max([findings(lock, required=required) for lock in LOCKS])


def findings(lock: str, *, required: bool) -> int:
    """Audit one lock and print what was found."""
    # OSV, not pip-audit's default: that one calls a mirror without advisories "not found" and exits with 0.
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--disable-pip",
               "--require-hashes", "--format", "json", "--progress-spinner", "off", "--requirement", lock]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        releases = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        print(f"!!! {lock} WAS NOT AUDITED: the advisory database gave no answer ({reason[-200:]})", file=sys.stderr)
        return int(required)
    bad = [release for release in releases if release.get("vulns") or release.get("skip_reason")]
    for release in bad:
        known = ", ".join(vulnerability["id"] for vulnerability in release.get("vulns", []))
        print(f"{lock}: {release['name']} {release.get('version', '')}: {known or release['skip_reason']}")
    print(f"{lock}: {len(releases)} releases looked up, {len(bad)} with a finding")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
