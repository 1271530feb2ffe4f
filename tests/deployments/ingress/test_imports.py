"""What reads and answers requests starts without PyTorch, which takes seconds to import."""

import subprocess
import sys
from pathlib import Path

import deployments.ingress


def test_no_part_of_it_imports_pytorch():
    folder = Path(deployments.ingress.__file__).parent
    names = sorted(f.stem for f in folder.glob("*.py") if f.stem != "__init__")
    modules = [f"deployments.ingress.{name}" for name in names]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
