"""How numbers are written for people: grouped digits, a real minus sign, never an exponent."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

MINUS = "\N{MINUS SIGN}"
DOES_NOT_APPLY = "\N{EN DASH}"

# Wide enough for any number the book can hold; the default context has 28 digits.
WIDE = Context(prec=400, rounding=ROUND_HALF_EVEN)


def exact_number(value: Decimal | int | str) -> Decimal:
    """The number behind a row's value, or behind the text that JSON keeps it as.

    Raises:
        TypeError: the value is a float, which no amount ever is.
        ValueError: the value is not a finite number.
    """
    if isinstance(value, float):
        raise TypeError("an amount is a Decimal, never a float")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{value} is not a number")
    return number


def plain(value: Decimal | int | str) -> str:
    """All digits as a machine reads them: "-9837.61583127"."""
    number = exact_number(value)
    return f"{number.copy_abs() if number == 0 else number:f}"


def grouped(value: Decimal | int | str, *, decimals: int | None = None, sign: bool = False) -> str:
    """A number as a person reads it: "9,837.62", after a real minus sign where it is negative.

    Args:
        decimals: how many to show, rounded half to even; None shows all that say something.
        sign: whether a positive number carries "+", as changes do.
    """
    number = exact_number(value)
    shown = trimmed(number) if decimals is None else rounded(number, decimals=decimals)
    mark = MINUS if number < 0 else "+" if sign and number > 0 else ""
    # copy_abs, because abs() rounds to the 28 digits of the default context.
    return f"{mark}{shown.copy_abs():,f}"


def rounded(number: Decimal, *, decimals: int) -> Decimal:
    """A number to so many decimals, half to even; for the eye only, never for the book."""
    return WIDE.quantize(number, Decimal(1).scaleb(-decimals))


def trimmed(number: Decimal) -> Decimal:
    """A number without the zeros at its end that say nothing: 16.98480000 is 16.9848."""
    whole = number.to_integral_value()
    return rounded(whole, decimals=0) if number == whole else WIDE.normalize(number)
