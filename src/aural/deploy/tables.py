"""TOML tables to frozen dataclasses: every key known, every value of its type, every complaint with its address."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from aural.errors import SettingsError

Table = TypeVar("Table")


def read(kind: type[Table], table: Mapping[str, Any], where: str = "") -> Table:
    """The table as `kind`. Field metadata `key` names the TOML key where that is not the field's name; None says that
    the field does not come from the file. Raises SettingsError: which key, what was expected, what came."""
    hints = get_type_hints(kind)
    known = {key: field for field in fields(kind) if (key := _key(field))}  # type: ignore[arg-type]
    unknown = sorted(table.keys() - known.keys())
    if unknown:
        raise SettingsError(f"{where or 'the file'}: expected keys of {', '.join(known)}; got {unknown[0]!r}")
    missing = [key for key, field in known.items() if key not in table and not _has_default(field)]
    if missing:
        raise SettingsError(f"{where or 'the file'}: expected {missing[0]!r}, found none")
    given = {known[key].name: _value(hints[known[key].name], value, f"{where}{key}") for key, value in table.items()}
    return kind(**given)


def _key(field: Field[Any]) -> str | None:
    key: str | None = field.metadata.get("key", field.name)
    return key


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _value(next(one for one in arguments if one is not type(None)), value, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, _expect(dict, value, where, "a table"), f"{where}.")
    if origin is Literal:
        if value not in arguments:
            raise SettingsError(f"{where}: expected one of {', '.join(map(repr, arguments))}; got {value!r}")
        return value
    if origin is tuple:
        items = _expect(list, value, where, "a list")
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        pairs = _expect(dict, value, where, "a table")
        return {key: _scalar(arguments[1], item, f"{where}.{key}") for key, item in pairs.items()}
    return _scalar(hint, value, where)


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise SettingsError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _expect(kind: type, value: Any, where: str, name: str) -> Any:
    if not isinstance(value, kind):
        raise SettingsError(f"{where}: expected {name}, got {value!r}")
    return value
