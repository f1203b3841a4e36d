"""Detection data sets, their loading, and their result files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resdet.data.detection.recognition import open_dataset

__all__ = ["open_dataset"]


def __getattr__(name: str) -> Any:
    """Import `open_dataset` when it is first used: it imports all readers."""
    if name == "open_dataset":
        from resdet.data.detection.recognition import open_dataset

        return open_dataset
    raise AttributeError(f"module 'resdet.data.detection' has no attribute '{name}'")
