"""The page that a router shows to people: three files, without a build step, which name no other
host. `deployments.ingress.page` serves them.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
