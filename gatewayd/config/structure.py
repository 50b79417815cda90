"""TOML values become attrs values, strictly and with every mistake told: cattrs dispatches, the hooks here judge.

Laws: nothing is coerced (true is no number, "yes" no boolean); a hook raises `InvalidValue` with all mistakes below its
value; no text of a secret stands in a mistake, so strings are only quoted where a plain scalar was expected.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter

from gatewayd.config import credentials
from gatewayd.config.checks import LOADED
from gatewayd.config.mistakes import InvalidValue, Mistake, described, kind_of, never_right, unknown_keys
from gatewayd.config.values import Bind, FileMode, Kinds, Secret, parse_mode, parse_rate, parse_seconds
from gatewayd.core.rate import Rate, Seconds

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue.because(f"expected string, got {described(value)}")
    return value


def _flag(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue.because(f"expected boolean (true or false), got {described(value)}")
    return value


def _whole(value: object, _: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue.because(f"expected number, got {described(value)}")
    if not isinstance(value, int):
        raise InvalidValue.because(f"expected a whole number, got {value}")
    return value


def _number(value: object, _: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue.because(f"expected number, got {described(value)}")
    return float(value)


def _seconds(value: object, _: object) -> Seconds:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InvalidValue.because(f'expected a duration such as "30s", got {described(value)}')
    return _said(parse_seconds, value)


def _rate(value: object, kind: object) -> Rate:
    return value if isinstance(value, Rate) else _said(parse_rate, _text(value, kind))


def _bind(value: object, kind: object) -> Bind:
    return _said(Bind.parse, _text(value, kind))


def _mode(value: object, _: object) -> FileMode:
    return _said(parse_mode, value)


def _kinds(value: object, _: object) -> Kinds:
    return _said(Kinds.parse, value)


def _literal(value: object, kind: object) -> object:
    allowed = get_args(kind)
    # The type is compared as well: 1 == True.
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise InvalidValue.because(f"expected one of {', '.join(map(repr, allowed))}, got {described(value)}")
    return value


def _said(parse: Callable[[Any], T], value: object) -> T:
    """Call a parser; its ValueError becomes the mistake."""
    try:
        return parse(value)
    except ValueError as error:
        raise InvalidValue.because(str(error)) from None


def _sane(hook: Hook) -> Hook:
    """The hook for values that can be right at all: a number of thousands of digits cannot even be printed."""

    def checked(value: Any, kind: Any) -> Any:
        if mistakes := never_right(value):
            raise InvalidValue(mistakes)
        return hook(value, kind)

    return checked


def _is_optional(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


class Structurer:
    """The converter and what it needs from outside: the environment, for the directory of systemd's credentials."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.converter = Converter()
        # Of several hooks that fit, cattrs takes the one registered last, and one for the very type before any other.
        self._on(attrs.has, self._attrs_value)
        self._on(lambda kind: get_origin(kind) in (tuple, list, frozenset, Sequence), self._array)
        self._on(lambda kind: get_origin(kind) in (dict, Mapping), self._mapping)
        self._on(lambda kind: get_origin(kind) is Literal, _sane(_literal))
        self._on(lambda kind: kind is Any or kind is object, _sane(lambda value, _: value))
        for exact, hook in _SCALARS.items():
            self.converter.register_structure_hook(exact, _sane(hook))
        self.converter.register_structure_hook(Secret, _sane(self._secret))

    def _on(self, fits: Callable[[Any], bool], hook: Hook) -> None:
        self.converter.register_structure_hook_func(fits, hook)

    def structure(self, value: object, kind: type[T]) -> T:
        """The value as `kind`; raises InvalidValue."""
        return self.converter.structure(value, kind)

    def _secret(self, value: object, _: object) -> Secret:
        if not isinstance(value, str):
            raise InvalidValue.because(f"expected string, got {kind_of(value)}")
        if value.startswith(credentials.PREFIX):
            return self._secret_file(value)
        if not value:
            raise InvalidValue.because("a secret must not be empty")
        return Secret(value)

    def _secret_file(self, path: object) -> Secret:
        if isinstance(path, str) and credentials.unchecked(path, self.environ):
            return Secret("unchecked")  # only ever in a configuration that is looked at, and not run
        return Secret(_said(lambda text: credentials.read_one(text, self.environ), _text(path, str)))

    def _array(self, value: object, kind: Any) -> object:
        if not isinstance(value, list):
            raise InvalidValue.because(f"expected array, got {kind_of(value)}")
        items, mistakes = [], []
        for index, item in enumerate(value):
            try:
                items.append(self.converter.structure(item, get_args(kind)[0]))
            except InvalidValue as refused:
                mistakes += refused.under(index)
        if mistakes:
            raise InvalidValue(mistakes)
        return get_origin(kind)(items) if get_origin(kind) in (list, frozenset) else tuple(items)

    def _mapping(self, value: object, kind: Any) -> object:
        if not isinstance(value, dict):
            raise InvalidValue.because(f"expected table, got {kind_of(value)}")
        items, mistakes = {}, never_right(dict.fromkeys(value, ""))  # of the keys alone
        for key, item in value.items():
            try:
                items[key] = self.converter.structure(item, get_args(kind)[1])
            except InvalidValue as refused:
                mistakes += refused.under(key)
        if mistakes:
            raise InvalidValue(mistakes)
        return items

    def _attrs_value(self, value: object, cls: type[Any]) -> object:
        if not isinstance(value, dict):
            raise InvalidValue.because(f"expected table, got {kind_of(value)}")
        fields = fields_of(cls)
        taken: dict[str, Any] = {}
        mistakes: list[Mistake] = []
        for field in fields:
            try:
                self._take(field, value, taken)
            except InvalidValue as refused:
                mistakes += refused.mistakes
        mistakes = unknown_keys(value, keys_of(cls)) + mistakes + _invalid(cls, taken)
        if mistakes:
            raise InvalidValue(mistakes)
        try:
            return cls(**taken)
        except ValueError as error:  # of __attrs_post_init__: a rule between several keys
            raise InvalidValue.because(str(error)) from None

    def _take(self, field: "attrs.Attribute[Any]", table: Mapping[str, Any], taken: dict[str, Any]) -> None:
        """Put one field into `taken`, from its own key or from the file that another key names."""
        own = key_of(field)
        present = [key for key in (own, *_file_keys(field)) if key in table]
        if len(present) > 1:
            raise InvalidValue([Mistake((present[1],), f"cannot stand beside {present[0]}")])
        if not present:
            if field.default is attrs.NOTHING:
                raise InvalidValue([Mistake((own,), "this key is required and missing")])
            return
        (key,) = present
        try:
            if key == own:
                taken[own] = self.converter.structure(table[key], field.type or Any)
            else:
                taken[own] = self._secret_file(table[key])
        except InvalidValue as refused:
            raise InvalidValue(refused.under(key)) from None


_SCALARS: dict[Any, Hook] = {
    str: _text,
    bool: _flag,
    int: _whole,
    float: _number,
    Seconds: _seconds,
    Rate: _rate,
    Bind: _bind,
    FileMode: _mode,
    Kinds: _kinds,
}


def fields_of(cls: type[attrs.AttrsInstance]) -> list["attrs.Attribute[Any]"]:
    """The fields that the TOML may set."""
    return [field for field in attrs.fields(attrs.resolve_types(cls)) if field.init and LOADED not in field.metadata]


def keys_of(cls: type[attrs.AttrsInstance]) -> list[str]:
    """Every key that a table of this class may have."""
    return [key for field in fields_of(cls) for key in (key_of(field), *_file_keys(field))]


def key_of(field: "attrs.Attribute[Any]") -> str:
    """The key of a field in the TOML; attrs' alias, which has no leading underscores."""
    return field.alias or field.name


def _file_keys(field: "attrs.Attribute[Any]") -> list[str]:
    """The keys that may name a file with the field's secret; none where it holds no single secret."""
    if field.type is not Secret and not (_is_optional(field.type) and Secret in get_args(field.type)):
        return []
    other = field.metadata.get("file_key")
    return [f"{key_of(field)}_file"] + ([other] if other else [])


def _invalid(cls: type[Any], taken: Mapping[str, Any]) -> list[Mistake]:
    """What the validators of the fields say: of all fields, where attrs itself stops at the first.

    A validator here must look at its value alone; rules between fields belong into __attrs_post_init__.
    """
    mistakes = []
    for field in attrs.fields(cls):
        if field.validator is not None and key_of(field) in taken and field.converter is None:
            try:
                field.validator(None, field, taken[key_of(field)])
            except (ValueError, TypeError) as error:
                # attrs' own validators put more into args than their sentence.
                mistakes.append(Mistake((key_of(field),), str(error.args[0] if error.args else error)))
    return mistakes
