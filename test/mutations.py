"""Messages as no client means them: any field of a ROS message set to what its type allows and nobody expects."""

from __future__ import annotations

import array
import copy
import re
from typing import Any

import numpy as np

NUMBERS = [0.0, -0.0, 1.0, -1.0, 1e-300, 1e-9, 1e9, 1e300, float("inf"), float("-inf"), float("nan"), 0.5, -1e-3]
TEXTS = ["", "x", "nowhere", "../../etc", "/", "~root/x", "é\u202e", "a" * 300, "rgb8", "mono8", "32FC1", "hull", "\n"]
INTEGERS = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "int8": 7, "int16": 15, "int32": 31, "int64": 63}
SEQUENCE = re.compile(r"sequence<(?P<inner>[\w/]+)(?:, \d+)?>|(?P<fixed>[\w/]+)\[(?P<count>\d+)\]")


class Mutator:
    """Changes fields of a message by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def mutated(self, message: Any, most: int = 4) -> Any:
        """A copy with up to ``most`` of its fields, and of those within, changed."""
        changed = copy.deepcopy(message)
        for _ in range(int(self.random.integers(1, most + 1))):
            self._change(changed)
        return changed

    def choose(self, values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def _change(self, message: Any) -> None:
        name, kind = self.choose(list(message.get_fields_and_field_types().items()))
        value = getattr(message, name)
        if hasattr(value, "get_fields_and_field_types"):
            self._change(value)
        elif (match := SEQUENCE.fullmatch(kind)) is None:
            setattr(message, name, self._scalar(kind, value))
        elif match["fixed"] is not None:
            values = list(value)
            values[int(self.random.integers(len(values)))] = self._scalar(match["fixed"], values[0])
            setattr(message, name, values)
        elif "/" in match["inner"]:
            self._change_messages(value)
        else:
            setattr(message, name, self._numbers(match["inner"], value))

    def _change_messages(self, values: list[Any]) -> None:
        """Of a sequence of messages: one changed, most often; left out, twice, or none at all."""
        if not values:
            return
        at, what = int(self.random.integers(len(values))), self.random.random()
        if what < 0.85:
            values[at] = copy.deepcopy(values[at])
            self._change(values[at])
        elif what < 0.9:
            del values[at]
        elif what < 0.95:
            values.append(values[at])
        else:
            values.clear()

    def _scalar(self, kind: str, value: Any) -> Any:
        if kind in ("double", "float"):
            number = self.choose([*NUMBERS, *(value * factor for factor in (-1.0, 1e-3, 1e3, 1.1))])
            return float(np.clip(number, -3e38, 3e38)) if kind == "float" and np.isfinite(number) else float(number)
        if kind in ("boolean", "bool"):
            return not value
        if kind == "string":
            return self.choose(TEXTS)
        if kind in ("octet", "byte"):
            return bytes([int(self.random.integers(256))])
        top = (1 << INTEGERS[kind]) - 1
        near = [value + 1, value - 1, 2 * value, value // 2]
        low = 0 if kind.startswith("u") else -top - 1
        return int(min(max(self.choose([0, 1, 2, 255, 65536, top, top // 2, *near]), low), top))

    def _numbers(self, kind: str, values: Any) -> Any:
        """Of a sequence of numbers: cut, longer, emptied, or some of its values changed."""
        kept, what = list(values) if len(values) < 100 else values, self.random.random()
        if kind != "uint8":
            changed = list(kept) or [0.0]
            at = int(self.random.integers(len(changed)))
            changed[at] = self._scalar(kind, changed[at])
            return changed[:at] if what < 0.2 else changed * 2 if what < 0.3 else changed
        data = bytearray(values)
        if what < 0.3 and data:
            del data[int(self.random.integers(len(data))) :]
        elif what < 0.4:
            data += bytes(int(self.random.integers(1, 1000)))
        elif data:
            for at in self.random.integers(len(data), size=int(self.random.integers(1, 20))):
                data[at] = int(self.random.integers(256))
        return array.array("B", data)
