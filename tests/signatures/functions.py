"""Sixty functions, as people write them: what tools are made of. Imported by the snapshots of their schemas.

No framework is imported here, so that other ones can be given the very same functions.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import typing as t
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import typing_extensions as te
from pydantic import AnyUrl, BaseModel, Field


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Address(BaseModel):
    """Where somebody lives."""

    street: str = Field(description="Street and number.")
    zip: str = Field(pattern=r"^\d{5}$")
    country: str = "DE"


class Person(BaseModel):
    name: str
    home: Address
    others: list[Address] = []


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Strict(BaseModel, extra="forbid"):
    first_name: str = Field(alias="firstName")


class Cat(BaseModel):
    kind: t.Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: t.Literal["dog"]
    bark: bool = True


@dataclass
class Point:
    """A place on the map.

    Attributes:
        x: To the east.
        y: To the north.
    """

    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Options(t.TypedDict):
    depth: int
    name: str


class Partly(t.TypedDict, total=False):
    depth: te.Required[int]
    name: str


class Pair(t.NamedTuple):
    left: int
    right: str = "r"


UserId = t.NewType("UserId", int)
Tree = te.TypeAliasType("Tree", "dict[str, Tree | int]")


def nothing() -> None:
    """Do nothing."""


def text(value: str) -> str:
    """One text."""
    return value


def integer(value: int) -> int:
    """One integer."""
    return value


def number(value: float) -> float:
    """One number."""
    return value


def flag(value: bool) -> bool:
    """One flag."""
    return value


def raw(value: bytes) -> int:
    """Bytes."""
    return len(value)


def anything(value: t.Any) -> str:
    """Anything."""
    return str(value)


def plain_list(values: list) -> int:
    """A list of anything."""
    return len(values)


def plain_dict(values: dict) -> int:
    """A dict of anything."""
    return len(values)


def with_default(value: str = "x", times: int = 2) -> str:
    """Defaults."""
    return value * times


def none_by_default(value: str | None = None) -> str:
    """May be left out."""
    return value or ""


def old_optional(value: t.Optional[int] = None) -> int:  # noqa: UP045
    """May be left out."""
    return value or 0


def none_without_saying(value: str = None) -> str:  # noqa: RUF013
    """May be left out, says the default."""
    return value or ""


def nullable(value: int | None) -> bool:
    """Null, or an integer; to be given."""
    return value is None


def either(value: int | str) -> str:
    """One of two types."""
    return str(value)


def either_of_three(value: t.Union[int, list[str], None] = None) -> str:  # noqa: UP007
    """One of three."""
    return str(value)


def keywords(*, first: int, second: int = 2) -> int:
    """By name only."""
    return first + second


def positional(first: int, /, second: int) -> int:
    """By place only."""
    return first + second


def strings(values: list[str]) -> int:
    """A list."""
    return len(values)


def matrix(rows: list[list[float]]) -> int:
    """A list of lists."""
    return len(rows)


def sequence(values: Sequence[int]) -> int:
    """An abstract list."""
    return len(values)


def unique(values: set[int]) -> int:
    """A set."""
    return len(values)


def fixed(value: tuple[int, str]) -> str:
    """A pair."""
    return str(value)


def endless(values: tuple[int, ...]) -> int:
    """A tuple of any length."""
    return len(values)


def mapping(values: dict[str, int]) -> int:
    """A map."""
    return sum(values.values())


def abstract_mapping(values: Mapping[str, list[int]]) -> int:
    """An abstract map."""
    return len(values)


def numbered(values: dict[int, str]) -> int:
    """A map with numbers for keys."""
    return len(values)


def choice(value: t.Literal["a", "b"]) -> str:
    """One of two words."""
    return value


def mixed_choice(value: t.Literal[1, "one", None] = None) -> str:
    """One of three values."""
    return str(value)


def colour(value: Colour) -> str:
    """An enumeration."""
    return value.value


def level(value: Level = Level.LOW) -> int:
    """Numbers with names."""
    return int(value)


def word(value: Word = Word.YES) -> str:
    """Texts with names."""
    return str(value)


def day(value: dt.date) -> str:
    """A date."""
    return value.isoformat()


def moment(value: dt.datetime, within: dt.timedelta = dt.timedelta(hours=1)) -> str:
    """A time and a duration."""
    return str(value + within)


def clock(value: dt.time) -> str:
    """A time of day."""
    return value.isoformat()


def file(path: pathlib.Path) -> str:
    """A path."""
    return path.name


def identifier(value: uuid.UUID) -> str:
    """A UUID."""
    return str(value)


def money(value: decimal.Decimal) -> str:
    """Money."""
    return str(value)


def link(value: AnyUrl) -> str:
    """An address."""
    return str(value)


def new_type(value: UserId) -> int:
    """A name for a type."""
    return value


def bounded(value: t.Annotated[int, Field(ge=1, le=9, description="From one to nine.")]) -> int:
    """A bound."""
    return value


def field_default(value: int = Field(5, gt=0, description="More than zero.")) -> int:
    """A field as default."""
    return value


def plain_string(value: t.Annotated[str, "What it is called."]) -> str:
    """Annotated with a text."""
    return value


def patterned(value: t.Annotated[str, Field(pattern="^[a-z]+$", max_length=5)]) -> str:
    """A pattern."""
    return value


def model(person: Person) -> str:
    """A model with models in it."""
    return person.name


def models(people: list[Person]) -> int:
    """Models in a list."""
    return len(people)


def model_or_none(address: Address | None = None) -> str:
    """A model that may be left out."""
    return address.street if address else ""


def aliased(value: Strict) -> str:
    """A model with another name outside."""
    return value.first_name


def point(at: Point) -> float:
    """A dataclass."""
    return at.x


def options(value: Options) -> int:
    """A TypedDict of ``typing``."""
    return value["depth"]


def partly(value: Partly) -> int:
    """A TypedDict that is not total."""
    return value["depth"]


def named(value: Pair) -> int:
    """A named tuple."""
    return value.left


def tree(node: Node) -> int:
    """A model of itself."""
    return node.value


def alias(value: Tree) -> int:
    """A type alias of itself."""
    return len(value)


def animal(pet: t.Annotated[Cat | Dog, Field(discriminator="kind")]) -> str:
    """One of two models, told apart by a field."""
    return pet.kind


def google(path: str, depth: int = 1) -> str:
    """Look at a folder.

    It may take a while.

    Args:
        path: The folder.
        depth: How deep
            to look.

    Returns:
        What is there.
    """
    return path * depth


def numpy(path: str, depth: int = 1) -> str:
    """Look at a folder.

    Parameters
    ----------
    path : str
        The folder.
    depth : int
        How deep to look.
    """
    return path * depth


def sphinx(path: str, depth: int = 1) -> str:
    """Look at a folder.

    :param path: The folder.
    :param depth: How deep to look.
    :returns: What is there.
    """
    return path * depth


async def asynchronous(value: int) -> int:
    """Wait."""
    return value


def generating(value: int) -> Iterator[int]:
    """Yield."""
    yield value


async def generating_slowly(value: int) -> AsyncIterator[int]:
    """Yield, and wait."""
    yield value


class Shop:
    """A shop."""

    def price(self, sku: str) -> int:
        """What it costs.

        Args:
            sku: Article number.
        """
        return len(sku)

    def __call__(self, sku: str) -> int:
        """Buy it."""
        return len(sku)


method = Shop().price
bound = partial(with_default, times=3)
callable_object = Shop()

FUNCTIONS: dict[str, t.Any] = {
    name: value
    for name, value in dict(globals()).items()
    if callable(value) and not isinstance(value, type) and getattr(value, "__module__", __name__) == __name__
    and name not in ("UserId", "Tree")
}  # fmt: skip
"""The functions by name, in the order they stand here."""
