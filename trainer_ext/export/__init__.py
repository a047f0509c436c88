"""Export: a model as an ONNX or OpenVINO file, in full precision or int8, checked before it is kept."""

from typing import TYPE_CHECKING

from ..utils.imports import lazy_names

if TYPE_CHECKING:
    from .formats import FORMATS as FORMATS, export as export

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "formats": ["FORMATS", "export"],
    },
)
