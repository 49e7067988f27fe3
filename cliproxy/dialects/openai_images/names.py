"""Words of the images wire that several modules share."""

from typing import Final

DIALECT_ID: Final = "openai-images"
GENERATIONS: Final = "/images/generations"
EDITS: Final = "/images/edits"
"""The paths, below the version."""

IMAGES: Final = "images"
"""The pictures to edit, in JSON: objects with an ``image_url`` each."""
URL: Final = "image_url"
FORM_IMAGES: Final = frozenset({"image", "image[]"})
"""What files with pictures to edit are called in a form."""
FORM_FILES: Final = frozenset({"mask", "markup"})
"""Further files of a form."""
WHOLE_NUMBERS: Final = frozenset(
    {"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms"}
)
FLAGS: Final = frozenset({"stream"})

DEFAULT_MODEL: Final = "gpt-image-2"
"""For requests that name none, which the API allows."""
MOST_PICTURES: Final = 10
