"""Numbers of a range as types. Values of a config are checked against them (engine/typed.py)."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Width = Annotated[float, Interval(gt=0, le=4)]  # a factor of a net's channels: 16 channels are not meant
