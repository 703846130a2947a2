"""What the fault campaigns share: clients that follow the standard, the site under test, disks that fail, and evidence."""

import pathlib
import sys

# The integration tests' own way with processes, ports and waiting.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Integration"))
