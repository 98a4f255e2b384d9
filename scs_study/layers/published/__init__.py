"""Every published sharpened layer, and the pools published with them, by the name of its author.

Each layer takes nn.Conv2d's arguments, or a convolution to stand in for: `Wang.from_conv(conv, p=2.0)`. docs/layers.md
says what each computes, what goes wrong in it as published, and on which inputs safe and published forms differ.
"""

from scs_study.layers.published.authors import (
    Batchelor,
    Hogg,
    Hukkelas,
    Ifeherva,
    Pisoni,
    RohrerApr2022,
    RohrerFeb2022,
    RohrerMar2022,
    RohrerMay2022,
    Wang,
    Zimonitrome,
)
from scs_study.layers.published.forms import FORMS, HAZARDS, Form
from scs_study.layers.published.modules import FormModule, PublishedLayer
from scs_study.layers.published.pools import (
    POOLS,
    HoggAbsPool2d,
    PisoniMaxAbsPool2d,
    RohrerJaxMaxAbsPool2d,
    ZimonitromeMaxAbsPool2d,
)
from scs_study.layers.published.transposed import RohrerMay2022Transpose2d, TransposedLayer, ZimonitromeTranspose2d

PUBLISHED: dict[str, type[PublishedLayer]] = {
    "rohrer_feb2022": RohrerFeb2022,
    "rohrer_mar2022": RohrerMar2022,
    "rohrer_apr2022": RohrerApr2022,
    "rohrer_may2022": RohrerMay2022,
    "wang": Wang,
    "batchelor": Batchelor,
    "hogg": Hogg,
    "ifeherva": Ifeherva,
    "hukkelas": Hukkelas,
    "zimonitrome": Zimonitrome,
    "pisoni": Pisoni,
}
"""The layers by name, in the order of docs/layers.md."""

__all__ = [
    "FORMS",
    "HAZARDS",
    "POOLS",
    "PUBLISHED",
    "Batchelor",
    "Form",
    "FormModule",
    "Hogg",
    "HoggAbsPool2d",
    "Hukkelas",
    "Ifeherva",
    "Pisoni",
    "PisoniMaxAbsPool2d",
    "PublishedLayer",
    "RohrerApr2022",
    "RohrerFeb2022",
    "RohrerJaxMaxAbsPool2d",
    "RohrerMar2022",
    "RohrerMay2022",
    "RohrerMay2022Transpose2d",
    "TransposedLayer",
    "Wang",
    "Zimonitrome",
    "ZimonitromeMaxAbsPool2d",
    "ZimonitromeTranspose2d",
]
