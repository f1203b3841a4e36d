"""Numbers of a range as types. Values of a config and arguments of commands are checked against them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Overlap = Annotated[float, Interval(ge=0, le=0.9)]  # of neighbouring tiles: beyond it they are too many
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
Seed = Annotated[int, Interval(ge=0, lt=2**32)]  # what NumPy takes
Port = Annotated[int, Interval(ge=1, lt=2**16)]
Width = Annotated[float, Interval(gt=0, le=4)]  # a factor of a net's channels: 16 channels are not meant
