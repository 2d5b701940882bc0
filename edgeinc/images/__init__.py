"""Pictures: from a path, bytes or an array to what a network takes.

read_image        anything -> upright (H, W, 3) uint8 BGR
Preparation       that -> the network's input, cropped, resized, normalised
VIEWS, take       several looks at one picture
make_thumbnail    a small JPEG of a picture, for people
faults            what is wrong with a picture: dark, bright, blurred, small
list_images, labelled_images   the picture files of a folder, and what was passed over
"""

from __future__ import annotations

from edgeinc.images.folders import (
    LabelledPictures,
    Pictures,
    is_image_path,
    labelled_images,
    list_images,
)
from edgeinc.images.headers import LEAST_SIDE, MAX_BYTES, MAX_PIXELS
from edgeinc.images.prepare import Preparation, shrink
from edgeinc.images.quality import faults
from edgeinc.images.quiet import quiet
from edgeinc.images.read import Box, Picture, read_image
from edgeinc.images.thumbnails import make_thumbnail
from edgeinc.images.views import VIEWS, View, crop, needed, take

__all__ = [
    "LEAST_SIDE",
    "MAX_BYTES",
    "MAX_PIXELS",
    "VIEWS",
    "Box",
    "LabelledPictures",
    "Picture",
    "Pictures",
    "Preparation",
    "View",
    "crop",
    "faults",
    "is_image_path",
    "labelled_images",
    "list_images",
    "make_thumbnail",
    "needed",
    "quiet",
    "read_image",
    "shrink",
    "take",
]
