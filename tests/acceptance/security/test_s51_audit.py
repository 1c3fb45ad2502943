"""S51: the locks are looked up in an advisory database, and a bill of materials is built from them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("release", "status"),
    [
        ({"name": "curtain", "version": "1.0", "vulns": []}, 0),
        ({"name": "curtain", "version": "1.0", "vulns": [{"id": "PYSEC-2026-1"}]}, 1),
        ({"name": "curtain", "skip_reason": "could not be looked up"}, 1),
    ],
    ids=["clean", "vulnerable", "not-looked-up"],
)
def test_a_finding_fails(tmp_path: Path, release: dict[str, object], status: int) -> None:
    """The audit fails for a release with a known vulnerability, and for one that could not be looked up."""
    answer = json.dumps({"dependencies": [release]})
    audit = run_audit(tmp_path, f"print({answer!r})")
    assert audit.returncode == status
    assert "curtain" in audit.stdout or status == 0


@pytest.mark.parametrize(("audit_is", "status"), [("", 0), ("required", 1)])
def test_no_answer_is_no_clean_bill(tmp_path: Path, audit_is: str, status: int) -> None:
    """Without an answer the audit says that nothing was audited, and fails where it is required."""
    audit = run_audit(tmp_path, "raise SystemExit('no route to host')", AUDIT=audit_is)
    assert audit.returncode == status
    assert "requirements.txt WAS NOT AUDITED" in audit.stderr
    assert "no route to host" in audit.stderr


def test_the_bill_of_materials_is_complete() -> None:
    """`make sbom` lists every locked release with its hashes."""
    # given
    locked = re.findall(r"(?m)^(\S+)==(\S+)", (ROOT / "requirements.txt").read_text())
    # when
    subprocess.run(
        ["make", "--assume-old=dev", "sbom", f"BIN={Path(sys.executable).parent}"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    # then
    components = json.loads((ROOT / "build" / "sbom.json").read_text())["components"]
    assert sorted((component["name"], component["version"]) for component in components) == sorted(locked)
    hashes = [reference.get("hashes") for component in components for reference in component["externalReferences"]]
    assert all(hashes)


def run_audit(tmp_path: Path, stand_in: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the audit with a stand-in for pip-audit, whose database is out of a test's reach."""
    (tmp_path / "pip_audit.py").write_text(stand_in)
    return subprocess.run(
        [sys.executable, "scripts/audit.py"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
