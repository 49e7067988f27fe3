"""Where the corpus is."""

from pathlib import Path
from typing import Final

from support.properties import Target

CORPUS: Final = Path(__file__).parents[1] / "corpus"


def entries(target: Target) -> list[Path]:
    """Return the files of a target."""
    return sorted((CORPUS / target.name).glob(f"*.{target.ending}"))
